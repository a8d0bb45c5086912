"""The training loop: bits, resumption, early stopping, refusals."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from recscale.data.reader import Dataset
from recscale.errors import ConfigError, DataError, TrialError
from recscale.records import (
    Decay,
    Evaluation,
    ModelSpec,
    Precision,
    Sharing,
    TableOptimizer,
    TrainSpec,
    TrialSpec,
)
from recscale.training.checkpoints import FolderCheckpoints
from recscale.training.loop import flushed_subnormals, train
from recscale.training.run import TrainingRun
from recscale.training.schedule import next_evaluation, trainable_batches
from recscale.training.trained import TrainedTrial
from tests.training.ending import Killed, without_clock

CPU = torch.device("cpu")
MODEL = ModelSpec("dcnv2", scale=2.0, num_sets=2, base_dim=4, hidden_sizes=(16, 16), cross_layers=2)
TRAIN = TrainSpec(batch_size=256, max_epochs=3, evaluations_per_epoch=2, learning_rate=3e-3, patience=20)

pytestmark = pytest.mark.usefixtures("one_thread")


def _spec(dataset: Dataset, **changes: object) -> TrialSpec:
    return TrialSpec(dataset.manifest.fingerprint, MODEL, replace(TRAIN, **changes), seed=3)


def _run(spec: TrialSpec, dataset: Dataset, folder: Path, die_at_step: int = -1) -> TrainedTrial:
    def watch(evaluation: Evaluation) -> None:
        if evaluation.step == die_at_step:
            raise Killed

    return train(spec, dataset, CPU, FolderCheckpoints(folder), watch)


def test_learns_and_reports(small_dataset: Dataset, tmp_path: Path) -> None:
    trained = _run(_spec(small_dataset, max_epochs=4), small_dataset, tmp_path)
    result = trained.result
    assert result.history[0].step == 0
    assert result.history[0].train_loss is None
    assert abs(result.history[0].valid.auc - 0.5) < 0.1
    assert result.valid.auc > 0.56
    assert result.valid == max((look.valid for look in result.history[1:]), key=lambda valid: valid.auc)
    assert result.steps == 4 * trainable_batches(small_dataset.split("train").rows, 256)
    assert result.samples_per_second > 0
    assert result.peak_memory_bytes > 10 << 20
    assert len(trained.test_logits) == small_dataset.split("test").rows
    assert np.array_equal(trained.test_labels, small_dataset.split("test").labels())


@pytest.mark.parametrize(("optimizer", "decay"), list(zip(TableOptimizer, [*Decay, *Decay], strict=True)))
def test_same_seed_same_bits_and_a_killed_run_ends_with_them(
    optimizer: TableOptimizer, decay: Decay, small_dataset: Dataset, tmp_path: Path
) -> None:
    spec = _spec(small_dataset, table_optimizer=optimizer, decay=decay)
    whole = _run(spec, small_dataset, tmp_path / "whole")
    killed_at = whole.result.history[3].step
    with pytest.raises(Killed):
        _run(spec, small_dataset, tmp_path / "cut", die_at_step=killed_at)
    torch.manual_seed(99)
    looks: list[Evaluation] = []
    resumed = train(spec, small_dataset, CPU, FolderCheckpoints(tmp_path / "cut"), looks.append)
    assert looks[0].step == killed_at
    assert np.array_equal(whole.test_logits, resumed.test_logits)
    assert without_clock(whole.result) == without_clock(resumed.result)
    assert whole.spectra.equals(resumed.spectra)
    assert whole.sub_embeddings is not None
    assert whole.sub_embeddings.equals(resumed.sub_embeddings)


def test_a_state_between_evaluations_owes_no_row_a_step(small_dataset: Dataset) -> None:
    run, other = (TrainingRun(_spec(small_dataset), small_dataset, CPU) for _ in range(2))
    for each in (run, other):
        each.evaluate()
        for batch in islice(each.splits["train"].epoch(TRAIN.batch_size, 3, 0), 3):
            each._optimize(batch)
    state = run.state()
    assert not torch.equal(state["model"]["tables.weight"], other.model.tables.weight)
    other.settle()
    assert torch.equal(state["model"]["tables.weight"], other.model.tables.weight)


def test_another_seed_gives_other_bits(small_dataset: Dataset, tmp_path: Path) -> None:
    spec = _spec(small_dataset, max_epochs=1)
    first = _run(spec, small_dataset, tmp_path / "a")
    second = _run(replace(spec, seed=4), small_dataset, tmp_path / "b")
    assert not np.array_equal(first.test_logits, second.test_logits)


def test_stops_after_patience_and_tests_the_best_weights(small_dataset: Dataset, tmp_path: Path) -> None:
    result = _run(_spec(small_dataset, max_epochs=40, patience=2, learning_rate=1e-2), small_dataset, tmp_path).result
    aucs = [look.valid.auc for look in result.history[1:]]
    best = int(np.argmax(aucs))
    assert len(aucs) == best + 3
    assert result.best_step == result.history[1 + best].step


def test_trains_on_the_fraction_it_is_given(small_dataset: Dataset, tmp_path: Path) -> None:
    result = _run(_spec(small_dataset, max_epochs=1, train_fraction=0.25), small_dataset, tmp_path).result
    assert result.steps == trainable_batches(-(-small_dataset.split("train").rows // 4), 256)


def test_spectra_hold_every_moment(small_dataset: Dataset, tmp_path: Path) -> None:
    trained = _run(_spec(small_dataset, max_epochs=1), small_dataset, tmp_path)
    moments = trained.spectra.group_by("moment").aggregate([("step", "min")]).to_pylist()
    best = trained.result.best_step
    assert {(row["moment"], row["step_min"]) for row in moments} >= {("initial", 0), ("best", best)}
    fields, weightings, parts = 12, 2, 3
    assert trained.spectra.num_rows == fields * weightings * parts * len(trained.result.history)


@pytest.mark.parametrize("sharing", list(Sharing))
def test_sub_embeddings_are_of_the_best_weights_in_every_set(
    sharing: Sharing, small_dataset: Dataset, tmp_path: Path
) -> None:
    spec = _spec(small_dataset, max_epochs=1)
    spec = replace(spec, model=replace(spec.model, sharing=sharing))
    trained = _run(spec, small_dataset, tmp_path)
    assert trained.sub_embeddings is not None
    shown = trained.sub_embeddings.to_pylist()
    fields = small_dataset.manifest.fields
    assert len(shown) == 2 * len(fields) ** 2
    tables = {
        (row["field"], row["set_index"]): row["information_abundance"]
        for row in trained.spectra.to_pylist()
        if (row["moment"], row["weighting"]) == ("best", "uniform") and row["set_index"] is not None
    }
    one = sharing is Sharing.SHARED_TABLES
    for row in shown:
        expected = tables[row["field"], 0 if one else row["set_index"]]
        assert row["table_information_abundance"] == pytest.approx(expected, rel=1e-6)
        assert 1 <= row["information_abundance"] <= row["dim"] * (1 + 1e-9)


def test_a_family_without_blocks_has_no_sub_embeddings(small_dataset: Dataset, tmp_path: Path) -> None:
    spec = _spec(small_dataset, max_epochs=1)
    assert _run(replace(spec, model=replace(MODEL, family="dnn")), small_dataset, tmp_path).sub_embeddings is None


def test_bf16_is_close_to_fp32(small_dataset: Dataset, tmp_path: Path) -> None:
    full = _run(_spec(small_dataset), small_dataset, tmp_path / "a").result
    low = _run(_spec(small_dataset, precision=Precision.BF16), small_dataset, tmp_path / "b").result
    assert abs(full.test.auc - low.test.auc) < 0.03


def test_a_loss_that_is_not_finite_names_the_step(small_dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(TrialError, match=r"training loss is nan at step \d+, expected a finite"):
        _run(_spec(small_dataset, learning_rate=1e30), small_dataset, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": Precision.TF32}, "tf32 needs an NVIDIA GPU"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"patience": 0}, "patience is 0"),
        ({"train_fraction": 1.5}, "train_fraction is 1.5"),
        ({"evaluations_per_epoch": 1000}, "an epoch has only"),
    ],
)
def test_refuses_settings(changes: dict[str, object], message: str, small_dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        _run(_spec(small_dataset, **changes), small_dataset, tmp_path)


def test_refuses_another_dataset_and_another_trials_checkpoint(small_dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="point --data at the dataset"):
        _run(replace(_spec(small_dataset), dataset_fingerprint="0" * 64), small_dataset, tmp_path)
    batches = trainable_batches(small_dataset.split("train").rows, TRAIN.batch_size)
    with pytest.raises(Killed):
        _run(_spec(small_dataset), small_dataset, tmp_path, die_at_step=batches)
    with pytest.raises(DataError, match="checkpoint of trial"):
        _run(_spec(small_dataset, max_epochs=9), small_dataset, tmp_path)


@pytest.mark.parametrize("optimizer", list(TableOptimizer))
@pytest.mark.parametrize("broken", [torch.zeros(3, 2), torch.zeros(()).to_sparse(), None])
def test_moments_of_another_shape_are_refused(
    optimizer: TableOptimizer, broken: torch.Tensor | None, small_dataset: Dataset
) -> None:
    spec = _spec(small_dataset, table_optimizer=optimizer)
    run = TrainingRun(spec, small_dataset, torch.device("cpu"))
    run.train_until_evaluation()
    run.evaluate()
    state = run.state()
    moments = state["optimizers"][0]["state"][0]
    name = next(name for name in moments if name != "step")
    moments[name] = broken
    with pytest.raises(DataError, match=r"the checkpoint of trial .* does not fit it"):
        TrainingRun(spec, small_dataset, torch.device("cpu")).restore(state)


def test_a_broken_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(DataError, match="no readable checkpoint"):
        FolderCheckpoints(tmp_path).load()


@pytest.mark.parametrize(("batches", "evaluations"), [(10, 1), (10, 3), (7, 7), (100, 8)])
def test_evaluations_are_evenly_spaced_and_end_the_epoch(batches: int, evaluations: int) -> None:
    points = [0]
    while points[-1] < batches:
        points.append(next_evaluation(points[-1], batches, evaluations))
    assert len(points) == evaluations + 1
    assert points[-1] == batches
    assert max(np.diff(points)) - min(np.diff(points)) <= 1


@pytest.mark.parametrize(("rows", "batches"), [(10, 2), (11, 2), (12, 3), (5, 1), (1, 0)])
def test_a_last_batch_of_one_row_is_left_out(rows: int, batches: int) -> None:
    assert trainable_batches(rows, 5) == batches


def test_subnormal_numbers_are_flushed_while_training_and_not_after():
    def flushes():
        return float(torch.tensor(2.0**-140) * 2) == 0

    assert not flushes()
    with flushed_subnormals():
        assert flushes()
        with flushed_subnormals():
            pass
        assert flushes()
    assert not flushes()
