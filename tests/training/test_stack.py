"""Seeds that are trained stacked end as seeds that are trained one by one, whatever ends some of them early."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from recscale.data.reader import Dataset
from recscale.errors import DataError, TrialError
from recscale.models.specs import family_names
from recscale.records import (
    Combination,
    Decay,
    ModelSpec,
    Penalty,
    Precision,
    Sharing,
    TableOptimizer,
    TrainSpec,
    TrialSpec,
)
from recscale.training.checkpoints import Checkpoints, FolderCheckpoints, State
from recscale.training.loop import train
from recscale.training.run import TrainingRun
from recscale.training.stack import SeedStack, stack_problem
from recscale.training.stacked_loop import train_stacked
from recscale.training.trained import TrainedTrial
from tests.training.ending import Killed, without_clock

CPU = torch.device("cpu")
MODEL = ModelSpec(
    "dcnv2",
    scale=2.0,
    num_sets=2,
    base_dim=4,
    hidden_sizes=(16, 16),
    cross_layers=2,
    block_layers=1,
    tokens=4,
    dropout=0.0,
)
TRAIN = TrainSpec(batch_size=256, max_epochs=1, evaluations_per_epoch=2, learning_rate=3e-3, patience=20)
SEEDS = (3, 4, 7)

pytestmark = pytest.mark.usefixtures("one_thread")


class DyingAt(FolderCheckpoints):
    """Saves, and dies where it is told to."""

    def __init__(self, folder: Path, step: int) -> None:
        super().__init__(folder)
        self._step = step

    def save(self, state: State) -> None:
        super().save(state)
        if state["position"][0] == self._step:
            raise Killed


def specs_of(dataset: Dataset, model: ModelSpec = MODEL, training: TrainSpec = TRAIN) -> list[TrialSpec]:
    return [TrialSpec(dataset.manifest.fingerprint, model, training, seed) for seed in SEEDS]


def stacked(
    specs: list[TrialSpec], dataset: Dataset, checkpoints: Callable[[TrialSpec], Checkpoints]
) -> dict[int, TrainedTrial | Exception]:
    """What each seed leaves behind; each is told once."""
    ended: dict[int, TrainedTrial | Exception] = {}

    def end(spec: TrialSpec, ending: TrainedTrial | Exception) -> None:
        assert spec.seed not in ended
        ended[spec.seed] = ending

    train_stacked(specs, dataset, CPU, checkpoints, end)
    assert sorted(ended) == sorted(spec.seed for spec in specs)
    return ended


def in_folders(folder: Path) -> Callable[[TrialSpec], Checkpoints]:
    return lambda spec: FolderCheckpoints(folder / str(spec.seed))


def trained_all(ended: dict[int, TrainedTrial | Exception]) -> dict[int, TrainedTrial]:
    for ending in ended.values():
        if isinstance(ending, Exception):
            raise ending
    return {seed: ending for seed, ending in ended.items() if isinstance(ending, TrainedTrial)}


def alone(spec: TrialSpec, dataset: Dataset, folder: Path) -> TrainedTrial:
    """The trial by itself, from nothing."""
    checkpoints = FolderCheckpoints(folder / f"alone{spec.trial_id}")
    return train(spec, dataset, CPU, checkpoints, lambda evaluation: None)


def check_same(found: TrainedTrial, alone: TrainedTrial, tolerance: float) -> None:
    """All that a trial leaves behind, up to rounding."""
    ours, theirs = found.result, alone.result
    same = ("trial_id", "best_step", "steps", "embed_dim", "table_params", "dense_params", "flops_per_sample", "device")
    assert [getattr(ours, name) for name in same] == [getattr(theirs, name) for name in same]
    for mine, other in zip(ours.history, theirs.history, strict=True):
        assert (mine.step, mine.epoch) == (other.step, other.epoch)
        assert mine.train_loss == pytest.approx(other.train_loss, abs=tolerance)
        assert mine.valid.log_loss == pytest.approx(other.valid.log_loss, abs=10 * tolerance)
    assert np.allclose(found.test_logits, alone.test_logits, atol=100 * tolerance)
    assert np.array_equal(found.test_labels, alone.test_labels)
    assert np.array_equal(found.train_labels, alone.train_labels)
    assert found.spectra.drop_columns(["spectrum"]).schema == alone.spectra.drop_columns(["spectrum"]).schema
    assert found.spectra["moment"].equals(alone.spectra["moment"])
    assert (found.sub_embeddings is None) == (alone.sub_embeddings is None)


CASES = [
    *({"model": replace(MODEL, family=family)} for family in family_names()),
    {"model": replace(MODEL, num_sets=1)},
    *({"model": replace(MODEL, sharing=sharing)} for sharing in Sharing),
    *({"model": replace(MODEL, combination=combination)} for combination in Combination),
    *({"training": replace(TRAIN, table_optimizer=each, decay=d)} for each in TableOptimizer for d in Decay),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(str(value)[:30] for value in case))
def test_a_stacked_seed_is_the_seed_alone(case: dict, small_dataset: Dataset, tmp_path: Path) -> None:
    specs = specs_of(small_dataset, **case)
    ended = trained_all(stacked(specs, small_dataset, in_folders(tmp_path)))
    for spec in specs:
        check_same(ended[spec.seed], alone(spec, small_dataset, tmp_path), tolerance=1e-5)


def test_precision_and_threads_change_nothing_but_rounding(small_dataset: Dataset, tmp_path: Path) -> None:
    specs = specs_of(small_dataset, training=replace(TRAIN, precision=Precision.BF16))
    torch.set_num_threads(2)
    ended = trained_all(stacked(specs, small_dataset, in_folders(tmp_path)))
    for spec in specs:
        check_same(ended[spec.seed], alone(spec, small_dataset, tmp_path), tolerance=1e-3)


def test_each_seed_stops_when_it_would_alone(small_dataset: Dataset, tmp_path: Path) -> None:
    specs = specs_of(small_dataset, training=replace(TRAIN, max_epochs=12, patience=1, learning_rate=1e-2))
    ended = trained_all(stacked(specs, small_dataset, in_folders(tmp_path)))
    for spec in specs:
        check_same(ended[spec.seed], alone(spec, small_dataset, tmp_path), tolerance=1e-3)
    assert len({each.result.steps for each in ended.values()}) > 1, "a stack that shrinks"


def test_a_killed_stack_ends_with_the_bits_of_a_whole_one(small_dataset: Dataset, tmp_path: Path) -> None:
    """With dropout, whose draws have to be those of a stack that was left alone."""
    specs = specs_of(small_dataset, replace(MODEL, dropout=0.3), replace(TRAIN, max_epochs=2))
    whole = trained_all(stacked(specs, small_dataset, in_folders(tmp_path / "whole")))
    step = whole[SEEDS[0]].result.history[2].step
    folders = in_folders(tmp_path / "cut")

    def last_dies(spec: TrialSpec) -> Checkpoints:
        return DyingAt(tmp_path / "cut" / str(spec.seed), step) if spec.seed == SEEDS[-1] else folders(spec)

    with pytest.raises(Killed):
        stacked(specs, small_dataset, last_dies)
    torch.manual_seed(99)
    resumed = trained_all(stacked(specs, small_dataset, folders))
    for seed in SEEDS:
        assert np.array_equal(whole[seed].test_logits, resumed[seed].test_logits)
        assert without_clock(whole[seed].result) == without_clock(resumed[seed].result)
        assert whole[seed].spectra.equals(resumed[seed].spectra)


def test_seeds_that_were_left_behind_catch_up(small_dataset: Dataset, tmp_path: Path) -> None:
    """The first seed has trained for half an epoch by itself, the second for a whole one, the third has not begun."""
    specs = specs_of(small_dataset, training=replace(TRAIN, max_epochs=2))
    whole = {spec.seed: alone(spec, small_dataset, tmp_path) for spec in specs}
    for spec, evaluations in zip(specs, (1, 2), strict=False):
        step = whole[spec.seed].result.history[evaluations].step
        with pytest.raises(Killed):
            train(spec, small_dataset, CPU, DyingAt(tmp_path / str(spec.seed), step), lambda evaluation: None)
    ended = trained_all(stacked(specs, small_dataset, in_folders(tmp_path)))
    for seed in SEEDS:
        check_same(ended[seed], whole[seed], tolerance=1e-4)


def test_a_seed_that_fails_leaves_the_others_alone(small_dataset: Dataset, tmp_path: Path) -> None:
    """One diverges, one has a checkpoint that cannot be read, and the third ends as it would alone."""
    specs = specs_of(small_dataset)
    diverging, broken, good = specs
    run = TrainingRun(diverging, small_dataset, CPU)
    run.evaluate()
    with torch.no_grad():
        next(run.model.head.parameters()).fill_(torch.inf)
    FolderCheckpoints(tmp_path / str(diverging.seed)).save(run.state())
    (tmp_path / str(broken.seed)).mkdir()
    (tmp_path / str(broken.seed) / "state.pt").write_bytes(b"half a checkpoint")
    ended = stacked(specs, small_dataset, in_folders(tmp_path))
    assert isinstance(ended[diverging.seed], TrialError)
    assert "training loss is nan at step 1," in str(ended[diverging.seed])
    assert isinstance(ended[broken.seed], DataError)
    found = trained_all({good.seed: ended[good.seed]})[good.seed]
    check_same(found, alone(good, small_dataset, tmp_path), tolerance=1e-5)


def test_a_run_that_leaves_its_stack_goes_on_by_itself(small_dataset: Dataset) -> None:
    """Its tensors are views of the stack's, its optimizers have their part of the states."""
    specs = specs_of(small_dataset, training=replace(TRAIN, max_epochs=2))
    runs, others = ([TrainingRun(spec, small_dataset, CPU) for spec in specs] for _ in range(2))
    assert not SeedStack(runs).train_until_evaluation()
    runs[1].train_until_evaluation()
    for run in (*others, others[1]):
        run.train_until_evaluation()
    for run, other in zip(runs, others, strict=True):
        ours, theirs = run.model.state_dict(), other.model.state_dict()
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            assert torch.allclose(value.double(), theirs[name].double(), atol=1e-4), name
        for mine, theirs_too in zip(run.optimizers, other.optimizers, strict=True):
            states, expected = mine.state_dict()["state"], theirs_too.state_dict()["state"]
            assert [{k: v.shape for k, v in each.items()} for each in states.values()] == [
                {k: v.shape for k, v in each.items()} for each in expected.values()
            ]
            assert all(each["step"] == expected[number]["step"] for number, each in states.items())


def test_steps_that_a_run_has_deferred_are_not_lost_when_it_is_stacked(small_dataset: Dataset) -> None:
    specs = specs_of(small_dataset)
    runs, others = ([TrainingRun(spec, small_dataset, CPU) for spec in specs] for _ in range(2))
    for run in (*runs, *others):
        for batch in islice(run.splits["train"].epoch(TRAIN.batch_size, run.spec.seed, 0), 3):
            run._optimize(batch)
    assert not SeedStack(runs).train_until_evaluation()
    for run, other in zip(runs, others, strict=True):
        other.train_until_evaluation()
        assert torch.allclose(run.model.tables.weight, other.model.tables.weight, atol=1e-4)


def test_what_cannot_be_stacked_is_told() -> None:
    assert stack_problem(MODEL, Penalty.NONE, 5) == ""
    assert "penalty orthogonality" in stack_problem(MODEL, Penalty.ORTHOGONALITY, 5)
    assert "first dimension" in stack_problem(replace(MODEL, family="tests.training.one_map"), Penalty.NONE, 5)
