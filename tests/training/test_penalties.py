"""Penalties in training: each moves what it is about, obeys its weight, survives a kill, and knows whom to refuse."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from recscale.collapse.penalties import best_lambda, orthogonality, pattern_spread, subspace_similarity
from recscale.data.reader import Dataset
from recscale.errors import ConfigError, TrialError
from recscale.models.model import MultiEmbeddingModel
from recscale.models.tables import GradientLayout
from recscale.records import Evaluation, ModelSpec, Penalty, Sharing, TableOptimizer, TrainSpec, TrialSpec
from recscale.training.checkpoints import FolderCheckpoints
from recscale.training.loop import train
from recscale.training.penalties import SpectrumFlatteningPenalty, check_penalty
from recscale.training.run import TrainingRun
from recscale.training.trained import TrainedTrial
from tests.training.ending import Killed

CPU = torch.device("cpu")
MULTI = ModelSpec("dcnv2", scale=2.0, num_sets=2, base_dim=4, hidden_sizes=(16, 16), cross_layers=2)
SINGLE = replace(MULTI, num_sets=1)
TRAIN = TrainSpec(batch_size=256, max_epochs=2, evaluations_per_epoch=2, learning_rate=3e-3, patience=20)
MODELS = {
    Penalty.ORTHOGONALITY: SINGLE,
    Penalty.PATTERN_ALIGNMENT: MULTI,
    Penalty.SUBSPACE_SIMILARITY: MULTI,
    Penalty.SPECTRUM_FLATTENING: SINGLE,
}
STRONG = {
    Penalty.ORTHOGONALITY: 1.0,
    Penalty.PATTERN_ALIGNMENT: 1.0,
    Penalty.SUBSPACE_SIMILARITY: 1.0,
    Penalty.SPECTRUM_FLATTENING: 1.0,
}

pytestmark = pytest.mark.usefixtures("one_thread")
every_penalty = pytest.mark.parametrize("penalty", list(MODELS))


def _spec(dataset: Dataset, penalty: Penalty, model: ModelSpec | None = None, **changes: object) -> TrialSpec:
    settings = replace(TRAIN, penalty=penalty, **changes)
    return TrialSpec(dataset.manifest.fingerprint, model or MODELS[penalty], settings, seed=3)


def _trained_run(spec: TrialSpec, dataset: Dataset) -> TrainingRun:
    run = TrainingRun(spec, dataset, CPU)
    while not run.finished:
        run.train_until_evaluation()
        run.evaluate()
    return run


def _run(spec: TrialSpec, dataset: Dataset, folder: Path, die_at_step: int = -1) -> TrainedTrial:
    def watch(evaluation: Evaluation) -> None:
        if evaluation.step == die_at_step:
            raise Killed

    return train(spec, dataset, CPU, FolderCheckpoints(folder), watch)


@torch.no_grad()
def _target(penalty: Penalty, run: TrainingRun) -> float:
    """What the penalty is to make small, measured on a trained model."""
    model, rows = run.model, run.splits["valid"]
    blocks, patterns = model.interaction.cross_blocks(), model.interaction.patterns()
    ids = next(iter(rows.in_order(2048))).ids_BN
    measured: dict[Penalty, Tensor | float] = {
        Penalty.ORTHOGONALITY: orthogonality(blocks, best_lambda(blocks)) / best_lambda(blocks).square().sum(),
        Penalty.PATTERN_ALIGNMENT: pattern_spread(patterns),
        Penalty.SUBSPACE_SIMILARITY: subspace_similarity(model.tables(ids)) if model.spec.num_sets > 1 else 0.0,
        Penalty.SPECTRUM_FLATTENING: -run.history[-1].collapse.ia_ratio_mean,
    }
    return float(measured[penalty])


@every_penalty
@pytest.mark.parametrize("layout", [TableOptimizer.DEFERRED_ADAM, TableOptimizer.ADAM])
def test_training_moves_what_the_penalty_is_about(
    penalty: Penalty, layout: TableOptimizer, small_dataset: Dataset
) -> None:
    with_it = _spec(small_dataset, penalty, penalty_weight=STRONG[penalty], table_optimizer=layout)
    without = replace(with_it, train=replace(with_it.train, penalty=Penalty.NONE))
    changed, plain = (_target(penalty, _trained_run(spec, small_dataset)) for spec in (with_it, without))
    assert changed < plain - 0.1 * abs(plain)


@every_penalty
def test_weight_0_gives_the_bits_of_no_penalty(penalty: Penalty, small_dataset: Dataset, tmp_path: Path) -> None:
    zero = _spec(small_dataset, penalty, penalty_weight=0.0, max_epochs=1)
    none = replace(zero, train=replace(zero.train, penalty=Penalty.NONE))
    first, second = (_run(spec, small_dataset, tmp_path / spec.trial_id) for spec in (zero, none))
    assert np.array_equal(first.test_logits, second.test_logits)
    assert first.result.history == second.result.history


@every_penalty
def test_train_loss_is_the_cross_entropy_alone(penalty: Penalty, small_dataset: Dataset) -> None:
    still = _spec(small_dataset, penalty, penalty_weight=100.0, learning_rate=0.0, max_epochs=1)
    plain = replace(still, train=replace(still.train, penalty=Penalty.NONE))
    losses = [[look.train_loss for look in _trained_run(spec, small_dataset).history] for spec in (still, plain)]
    assert losses[0] == losses[1]


@every_penalty
def test_a_killed_run_ends_with_the_same_bits(penalty: Penalty, small_dataset: Dataset, tmp_path: Path) -> None:
    spec = _spec(small_dataset, penalty, penalty_weight=STRONG[penalty])
    whole = _run(spec, small_dataset, tmp_path / "whole")
    with pytest.raises(Killed):
        _run(spec, small_dataset, tmp_path / "cut", die_at_step=whole.result.history[3].step)
    torch.manual_seed(99)
    resumed = _run(spec, small_dataset, tmp_path / "cut")
    assert np.array_equal(whole.test_logits, resumed.test_logits)
    assert whole.result.history == resumed.result.history


@every_penalty
def test_a_run_that_diverges_names_the_step(penalty: Penalty, small_dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(TrialError, match=r"training loss is (nan|inf) at step \d+, expected a finite"):
        _run(_spec(small_dataset, penalty, learning_rate=1e30), small_dataset, tmp_path)


def test_a_penalty_alone_that_is_not_finite_stops_the_run(small_dataset: Dataset) -> None:
    run = TrainingRun(_spec(small_dataset, Penalty.ORTHOGONALITY, penalty_weight=1e38), small_dataset, CPU)
    with torch.no_grad():
        next(run.penalty.parameters()).fill_(1e10)
    with pytest.raises(TrialError, match=r"training loss is inf at step 1, expected a finite"):
        run.train_until_evaluation()


def test_lambda_is_learned(small_dataset: Dataset) -> None:
    run = _trained_run(_spec(small_dataset, Penalty.ORTHOGONALITY, penalty_weight=1.0), small_dataset)
    (scales,) = run.penalty.parameters()
    blocks = run.model.interaction.cross_blocks()
    start = TrainingRun(run.spec, small_dataset, CPU)
    torch.testing.assert_close(
        next(start.penalty.parameters()).detach(), best_lambda(start.model.interaction.cross_blocks()).detach()
    )
    assert torch.corrcoef(torch.stack((scales, best_lambda(blocks))).flatten(1))[0, 1] > 0.9


@pytest.mark.parametrize("layout", list(GradientLayout))
def test_flattening_adds_its_gradient_once_per_touched_row(layout: GradientLayout) -> None:
    torch.manual_seed(0)
    model = MultiEmbeddingModel(replace(SINGLE, base_dim=2), (5, 3, 9), layout)
    ids = torch.tensor([[0, 2, 7], [4, 2, 7], [4, 1, 0]])
    penalty = SpectrumFlatteningPenalty(0.5, model)
    penalty.before_step(model.tables, ids)
    emb = model.tables(ids)
    penalty(model, emb, step=0)
    model.score(emb).sum().backward()
    before = model.tables.weight.grad.to_dense().clone()
    penalty.add_table_gradient(model.tables)
    after = model.tables.weight.grad
    touched = [0, 4, 6, 7, 8, 15] if layout is GradientLayout.SPARSE else list(range(17))
    field = [0] * 5 + [1] * 3 + [2] * 9
    expected = torch.zeros_like(before)
    for row in touched:
        expected[row] = 0.5 * model.tables.weight[row].detach() @ penalty.factor_TKK[field[row]]
    assert after.is_sparse is (layout is GradientLayout.SPARSE)
    torch.testing.assert_close(after.to_dense() - before, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", ["dcnv2", "ffm"])
@pytest.mark.parametrize("optimizer", [TableOptimizer.DEFERRED_ADAM, TableOptimizer.LAZY_ADAM])
def test_gram_matrices_follow_the_rows_that_training_moves(
    optimizer: TableOptimizer, family: str, small_dataset: Dataset
) -> None:
    """Also such as have deferred steps, and after all have been made up for."""
    changes = {"penalty_weight": 1.0, "table_optimizer": optimizer}
    model = replace(SINGLE, family=family)
    run = TrainingRun(_spec(small_dataset, Penalty.SPECTRUM_FLATTENING, model, **changes), small_dataset, CPU)
    run.train_until_evaluation()
    run.evaluate()
    run.train_until_evaluation()
    weight, sizes = run.model.tables.weight.detach().double(), small_dataset.manifest.vocabulary_sizes
    vectors = [field.view(len(field), -1, model.embed_dim).unbind(1) for field in weight.split(list(sizes))]
    expected = torch.stack([vector.T @ vector for field in vectors for vector in field])
    torch.testing.assert_close(run.penalty.gram_TKK, expected, rtol=1e-5, atol=1e-6 * expected.max().item())


def test_flattening_of_several_vectors_per_id_is_about_each_of_them() -> None:
    torch.manual_seed(0)
    model = MultiEmbeddingModel(replace(SINGLE, family="ffm", base_dim=1), (9, 30, 20), GradientLayout.DENSE)
    penalty = SpectrumFlatteningPenalty(1.0, model)
    spectra = [
        torch.linalg.svdvals(vector)
        for field in model.tables.weight.split((9, 30, 20))
        for vector in field.view(len(field), 2, 2).unbind(1)
    ]
    expected = torch.stack([(s / s.mean()).var(correction=0) for s in spectra]).mean()
    (gradient,) = torch.autograd.grad(expected, model.tables.weight)
    assert penalty(model, model.tables(torch.zeros(1, 3, dtype=torch.long)), step=0).item() == pytest.approx(
        expected.item(), rel=1e-4
    )
    model.tables.weight.grad = torch.zeros_like(gradient)
    penalty.add_table_gradient(model.tables)
    torch.testing.assert_close(model.tables.weight.grad, gradient, rtol=1e-3, atol=1e-6)


def test_similarity_of_several_vectors_per_id_is_about_each_of_them(small_dataset: Dataset) -> None:
    spec = _spec(small_dataset, Penalty.SUBSPACE_SIMILARITY, replace(MULTI, family="ffm"), penalty_weight=1.0)
    run = TrainingRun(spec, small_dataset, CPU)
    emb = run.model.tables(next(iter(run.splits["valid"].in_order(512))).ids_BN).detach()
    vectors = emb.shape[2] - 1
    apart = [part for field in emb.unbind(2) for part in field.chunk(vectors, dim=2)]
    expected = torch.stack([subspace_similarity(part.unsqueeze(2)) for part in apart]).mean()
    torch.testing.assert_close(run.penalty(run.model, emb, 0), expected)


SHARED_TABLES = replace(MULTI, sharing=Sharing.SHARED_TABLES)


@pytest.mark.parametrize(
    ("model", "penalty", "message"),
    [
        (
            replace(SINGLE, family="dnn"),
            Penalty.ORTHOGONALITY,
            r"dnn at scale 2 with 1 sets .* orthogonality: .*cross_b",
        ),
        (replace(MULTI, family="nfwfm"), Penalty.ORTHOGONALITY, r"no cross_blocks\(\)"),
        (replace(MULTI, family="dnn"), Penalty.PATTERN_ALIGNMENT, r"no patterns\(\)"),
        (replace(SINGLE, family="ffm"), Penalty.ORTHOGONALITY, r"trains no cross_blocks\(\)"),
        (SINGLE, Penalty.PATTERN_ALIGNMENT, "one interaction"),
        (replace(MULTI, sharing=Sharing.SHARED_INTERACTION), Penalty.PATTERN_ALIGNMENT, "one interaction"),
        (SINGLE, Penalty.SUBSPACE_SIMILARITY, "one set of tables"),
        (SHARED_TABLES, Penalty.SUBSPACE_SIMILARITY, "one set of tables"),
        (MULTI, Penalty.SPECTRUM_FLATTENING, "2 sets of tables, the penalty is about one; use num_sets 1"),
    ],
)
def test_refuses_models_without_what_the_penalty_is_about(model: ModelSpec, penalty: Penalty, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_penalty(model, penalty, None, num_fields=4)


@pytest.mark.parametrize("weight", [-1.0, float("inf"), float("nan")])
def test_refuses_a_weight_that_is_none(weight: float) -> None:
    with pytest.raises(ConfigError, match="expected 0 or more"):
        check_penalty(MULTI, Penalty.NONE, weight, num_fields=4)


def test_admits_what_has_it() -> None:
    for penalty, model in MODELS.items():
        check_penalty(model, penalty, None, num_fields=4)
    check_penalty(replace(MULTI, family="nfwfm"), Penalty.PATTERN_ALIGNMENT, None, num_fields=4)
    check_penalty(replace(SHARED_TABLES), Penalty.PATTERN_ALIGNMENT, None, num_fields=4)


def test_a_refused_penalty_stops_before_training(small_dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="does not admit the penalty spectrum_flattening"):
        TrainingRun(_spec(small_dataset, Penalty.SPECTRUM_FLATTENING, MULTI), small_dataset, CPU)
