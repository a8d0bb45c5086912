"""Shares by need: least, legal, and large enough; and what no GPU holds is refused by name."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from recscale.cluster.gpus import GIB, KINDS
from recscale.cluster.shares import ClusterInfo, NodeShape, Share
from recscale.cluster.sizing import FRACTIONS, SizedPlan, busy, by_need, larger_share, needed_bytes
from recscale.data.reader import Dataset
from recscale.data.residence import held_bytes
from recscale.records import Parallel, TrialResult, TrialSpec, to_plain
from recscale.study.machine import Machine
from recscale.study.plan import make_plan
from recscale.study.store import TrialStore
from recscale.study.study import Study
from tests.study.conftest import finish as finish
from tests.study.conftest import grid as grid
from tests.study.conftest import study as study

UNKNOWN_RATES = Machine(0.0, 0.0, 0.0, 0)
CLUSTER = ClusterInfo(32, 4, 2, "head:6379", False, (NodeShape(16, 2), NodeShape(16, 2)))


def sized(study: Study, dataset: Dataset, gpu: Machine, info: ClusterInfo = CLUSTER) -> SizedPlan:
    anything = Machine(1e11, 3e11, 1e10, 1 << 60)
    plan = make_plan(study.spec.trials, (), dataset.manifest, study.store, anything, slots=1)
    return by_need(plan, dataset.manifest, study.store, info, gpu, cpus=1.0)


@pytest.mark.parametrize("memory_gib", [1.01, 1.1, 2.1, 4.1, 8.5, 80])
def test_the_share_is_the_least_whose_memory_is_enough(memory_gib: float, study: Study, small_dataset: Dataset) -> None:
    gpu = replace(UNKNOWN_RATES, memory_bytes=int(memory_gib * GIB))
    plan = sized(study, small_dataset, gpu)
    splits = sum(split.rows * (4 * len(small_dataset.manifest.fields) + 1) for split in small_dataset.manifest.splits)
    for trial in plan.plan.trials:
        share = plan.shares[trial.spec.trial_id].first
        if share.workers > 1:
            continue
        peak = trial.cost.peak_memory_bytes
        assert share.gpus in FRACTIONS
        assert needed_bytes(peak) <= share.gpus * gpu.memory_bytes
        if share.gpus > FRACTIONS[0]:
            assert needed_bytes(peak) + splits > share.gpus / 2 * gpu.memory_bytes
    assert {own.first.gpus for own in plan.shares.values()} == {next(f for f in FRACTIONS if f * memory_gib > 1.005)}


def test_what_one_gpu_does_not_hold_is_divided_or_refused_by_name(study: Study, small_dataset: Dataset) -> None:
    peaks = {
        trial.spec: trial.cost.peak_memory_bytes for trial in sized(study, small_dataset, KINDS["H100"]).plan.trials
    }
    largest = max(peaks, key=lambda spec: (spec.model.num_sets > 1, peaks[spec]))
    gpu = replace(UNKNOWN_RATES, memory_bytes=needed_bytes(peaks[largest]) - 1)
    plan = sized(study, small_dataset, gpu)
    own = plan.shares[largest.trial_id]
    assert (own.first.gpus, own.first.workers, own.first.parallel) == (1.0, 2, Parallel.SETS)
    assert next(t for t in plan.plan.trials if t.spec == largest).worker.sent_bytes_per_step > 0

    nothing = replace(UNKNOWN_RATES, memory_bytes=GIB)
    plan = sized(study, small_dataset, nothing)
    assert not plan.plan.trials
    assert all(f"{refusal.point}: needs 1.0 GiB" in refusal.reason for refusal in plan.plan.refused)
    assert any("each of 4 still needs" in refusal.reason for refusal in plan.plan.refused)
    single = ClusterInfo(16, 1, 1, "head:6379", False, (NodeShape(16, 1),))
    refused = sized(study, small_dataset, nothing, single).plan.refused
    assert all("the cluster has no further GPU for it" in refusal.reason for refusal in refused)


def test_a_step_that_keeps_the_gpu_busy_shares_it_with_fewer(study: Study, small_dataset: Dataset) -> None:
    spec, cost = study.trials[0]
    gpu = KINDS["T4"]
    parts = [busy(replace(spec.train, batch_size=rows), cost, gpu, None) for rows in (1, 1 << 14, 1 << 20, 1 << 40)]
    assert parts == sorted(parts)
    assert 0 < parts[0] < 1 / 8
    assert parts[-1] > 0.99
    alone = busy(spec.train, cost, gpu, None)
    assert (
        busy(spec.train, cost, gpu, measured_step=1.0) < alone < busy(spec.train, cost, gpu, measured_step=1e-9) == 1.0
    )
    assert busy(spec.train, cost, UNKNOWN_RATES, measured_step=1e-9) == 0.0


def test_a_measured_step_on_a_gpu_decides_for_the_other_seeds(
    study: Study, small_dataset: Dataset, finish: Callable[..., TrialResult]
) -> None:
    first = study.spec.trials[0]
    other = replace(first, seed=1)
    assert sized(study, small_dataset, KINDS["H100"]).shares[other.trial_id].first.gpus == 1 / 8
    finish(study.store, first)
    store, result = study.store, study.store.read_result(first.trial_id)
    for device, speed, part in (("cpu", 1e12, 1 / 8), ("NVIDIA H100", 1e12, 1.0), ("NVIDIA H100", 1e3, 1 / 8)):
        _write(store, replace(result, device=device, samples_per_second=speed))
        plan = sized(study, small_dataset, KINDS["H100"])
        assert plan.shares[other.trial_id].first.gpus == part
        assert first.trial_id not in plan.shares


def _write(store: TrialStore, result: TrialResult) -> None:
    (store.folder(result.trial_id) / "result.json").write_text(json.dumps(to_plain(result)))


def test_a_larger_share_is_twice_as_large(study: Study, small_dataset: Dataset) -> None:
    manifest = small_dataset.manifest
    single, multi = (
        next(s for s in study.spec.trials if (s.model.num_sets > 1) is several) for several in (False, True)
    )

    def larger(share: Share, spec: TrialSpec = single) -> Share | None:
        return larger_share(share, spec, manifest, CLUSTER)

    assert larger(Share(gpus=1 / 8)) == Share(gpus=1 / 4)
    assert larger(Share(gpus=0.7)) == Share(gpus=1)
    assert larger(Share(gpus=1), multi) == Share(gpus=1, workers=2, parallel=Parallel.SETS)
    assert larger(Share(gpus=1)) == Share(gpus=1, workers=2, parallel=Parallel.ROWS)
    assert larger(Share(gpus=1, workers=2, parallel=Parallel.ROWS)) == Share(gpus=1, workers=4, parallel=Parallel.ROWS)
    assert larger(Share(gpus=1, workers=4, parallel=Parallel.ROWS)) is None
    assert larger(Share(cpus=3)) == Share(cpus=6)
    assert larger(Share(cpus=12)) is None


def test_a_device_holds_the_splits_that_fit_into_half_of_what_is_left() -> None:
    assert held_bytes([50, 25, 13], free=100) == 75
    assert held_bytes([51, 50, 25], free=100) == 75
    assert held_bytes([], free=100) == held_bytes([1], free=-5) == 0
