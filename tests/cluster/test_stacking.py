"""Which seeds share a process: as many as are asked for and fit, never two cells, never what cannot be stacked."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from recscale.cluster.gpus import GIB, KINDS
from recscale.cluster.launch import LaunchOptions, size_trials
from recscale.cluster.shares import ClusterInfo, NodeShape, Share
from recscale.cluster.sizing import SizedPlan, by_need, needed_bytes, same_for_all
from recscale.data.reader import Dataset
from recscale.errors import ConfigError
from recscale.records import Penalty, TrialResult, TrialSpec
from recscale.study.grid import Grid, ResolvedGrid, resolve
from recscale.study.machine import Machine
from recscale.study.plan import Plan, make_plan
from recscale.study.store import TrialStatus, TrialStore
from tests.study.conftest import finish as finish
from tests.study.conftest import grid as grid

GPUS = ClusterInfo(32, 4, 2, "head:6379", False, (NodeShape(16, 2), NodeShape(16, 2)))
CPUS = ClusterInfo(4, 0, 1, "here", True, (NodeShape(4, 0),))
ANYTHING = Machine(1e11, 3e11, 1e10, 1 << 60)


@pytest.fixture
def seven(grid: Grid) -> Grid:
    """Seven seeds of every cell."""
    return replace(grid, seeds=7)


def planned(grid: Grid, dataset: Dataset, storage: Path) -> Plan:
    trials = resolve(grid, dataset.manifest.fingerprint).trials
    return make_plan(trials, (), dataset.manifest, TrialStore(storage), ANYTHING, slots=1)


def on_cpus(plan: Plan, dataset: Dataset, most: int, memory: int = 1 << 60) -> SizedPlan:
    return same_for_all(plan, Share(), dataset.manifest, CPUS, most, memory)


def check_whole(sized: SizedPlan, plan: Plan) -> None:
    """Every trial that is not finished is in one process, with none but seeds of its cell."""
    found = [trial.spec for stack in sized.stacks for trial in stack.trials]
    assert sorted(spec.trial_id for spec in found) == sorted(
        trial.spec.trial_id for trial in plan.trials if trial.status is not TrialStatus.FINISHED
    )
    for stack in sized.stacks:
        assert len({replace(trial.spec, seed=0) for trial in stack.trials}) == 1


@pytest.mark.parametrize(("most", "sizes"), [(1, {1}), (3, {3, 1}), (4, {4, 3}), (7, {7}), (50, {7})])
def test_no_more_than_asked_for(
    most: int, sizes: set[int], seven: Grid, small_dataset: Dataset, tmp_path: Path
) -> None:
    plan = planned(seven, small_dataset, tmp_path)
    sized = on_cpus(plan, small_dataset, most)
    check_whole(sized, plan)
    assert {len(stack.trials) for stack in sized.stacks} == sizes
    text = sized.text()[plan.trials[0].spec.trial_id]
    assert text == ("1 CPU" if most == 1 else f"1 CPU, {max(sizes)} seeds")


def test_no_more_than_memory_holds(seven: Grid, small_dataset: Dataset, tmp_path: Path) -> None:
    plan = planned(seven, small_dataset, tmp_path)
    memory = 4 * max(trial.worker.peak_memory_bytes for trial in plan.trials)
    sized = on_cpus(plan, small_dataset, 7, memory)
    check_whole(sized, plan)
    for stack in sized.stacks:
        peak = stack.trials[0].worker.peak_memory_bytes
        assert len(stack.trials) * peak <= memory
        assert len(stack.trials) in (min(7, memory // peak), 7 % min(7, memory // peak))
    assert len({len(stack.trials) for stack in sized.stacks}) > 2


def test_what_is_finished_or_has_a_penalty_is_in_no_stack(
    seven: Grid,
    small_dataset: Dataset,
    tmp_path: Path,
    finish: Callable[[TrialStore, TrialSpec], TrialResult],
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = planned(seven, small_dataset, tmp_path).trials[0].spec
    finish(TrialStore(tmp_path), first)
    plan = planned(seven, small_dataset, tmp_path)
    sized = on_cpus(plan, small_dataset, 7)
    check_whole(sized, plan)
    assert first.trial_id not in sized.shares
    assert sorted(len(stack.trials) for stack in sized.stacks) == [6, *[7] * (len(sized.stacks) - 1)]

    train = replace(seven.train, penalty=Penalty.ORTHOGONALITY)
    penalised = planned(replace(seven, families=("dcnv2",), train=train), small_dataset, tmp_path)
    sized = on_cpus(penalised, small_dataset, 7)
    check_whole(sized, penalised)
    assert {len(stack.trials) for stack in sized.stacks} == {1}
    assert "penalty=orthogonality are not stacked: the penalty orthogonality is of one model" in capsys.readouterr().out


@pytest.mark.parametrize("memory_gib", [1.05, 2.5, 80])
def test_on_gpus_the_share_holds_all_seeds_of_its_process(
    memory_gib: float, seven: Grid, small_dataset: Dataset, tmp_path: Path
) -> None:
    plan = planned(seven, small_dataset, tmp_path)
    gpu = replace(KINDS["T4"], memory_bytes=int(memory_gib * GIB))
    alone, sized = (
        by_need(plan, small_dataset.manifest, TrialStore(tmp_path), GPUS, gpu, 1.0, most) for most in (1, 7)
    )
    check_whole(sized, sized.plan)
    for stack in sized.stacks:
        share, single = stack.shares.first, alone.shares[stack.trials[0].spec.trial_id].first
        assert (share.workers, share.gpus >= single.gpus) == (1, True)
        assert (
            needed_bytes(len(stack.trials) * stack.trials[0].worker.peak_memory_bytes) <= share.gpus * gpu.memory_bytes
        )
        assert len(stack.trials) == 1 or stack.shares.larger is None or stack.shares.larger.workers == 1
    assert max(len(stack.trials) for stack in sized.stacks) == 7
    assert sized.plan.slots <= alone.plan.slots


@pytest.mark.parametrize(
    ("options", "got"), [({"stacked_seeds": 0}, 0), ({"stacked_seeds": 2, "workers_per_trial": 2}, 2)]
)
def test_seeds_are_stacked_by_one_worker_and_one_at_least(
    options: dict[str, int], got: int, small_dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"got stacked_seeds {got} and workers_per_trial"):
        size_trials(ResolvedGrid((), ()), small_dataset, LaunchOptions(str(tmp_path), **options), CPUS, todo=False)
