"""One trial over several workers against the same trial by one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from recscale.data.reader import Dataset
from recscale.errors import ConfigError
from recscale.records import (
    CollapseSummary,
    Combination,
    Decay,
    ModelSpec,
    Parallel,
    Penalty,
    Sharing,
    TableOptimizer,
    TrainSpec,
    TrialSpec,
)
from recscale.training.parallel import ONE, Strategy, check_parallel, strategy_of
from recscale.training.run import TrainingRun
from recscale.training.set_parallel import take_sets
from recscale.training.traffic import worker_cost
from tests.training.counting import SentBytes
from tests.training.workers import in_workers

CPU = torch.device("cpu")
SEED = 0
STEPS = 21
"""One more than an epoch of 20 batches, the last of which is small."""
TRAIN = TrainSpec(batch_size=250, learning_rate=3e-4, weight_decay=1e-2)
"""Small steps and much decay: else rounding decides a ReLU, or the sign of a first step of Adam, here and there, and
one worker with torch's own normalisation in place of ours is 1e-4 away from itself after 20 steps (measured, 6 seeds).
"""
ROUNDING = 2e-6
"""Gradients are 0.01 to 1; that of a bias before a normalisation is 0, and this at most by rounding."""
BASE = ModelSpec("dcnv2", scale=4.0, num_sets=4, base_dim=4, hidden_sizes=(16, 8), cross_layers=2, dropout=0.0)

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Case:
    """A trial and the ways to divide it."""

    model: ModelSpec
    """Its model."""
    train: TrainSpec
    """Its training."""
    ways: tuple[Parallel, ...] = tuple(Parallel)
    """The ways."""


ORTHOGONAL = replace(TRAIN, penalty=Penalty.ORTHOGONALITY, penalty_weight=1e-2)
ALIGNED = replace(TRAIN, penalty=Penalty.PATTERN_ALIGNMENT)
FLATTENED = replace(TRAIN, penalty=Penalty.SPECTRUM_FLATTENING, decay=Decay.DECOUPLED)
SLICED = (Parallel.DATA, Parallel.ROWS)
CASES = (
    Case(BASE, TRAIN),
    Case(replace(BASE, family="finalmlp"), replace(TRAIN, table_optimizer=TableOptimizer.ADAM)),
    Case(replace(BASE, family="xdeepfm"), replace(TRAIN, table_optimizer=TableOptimizer.ROWWISE_ADAGRAD)),
    Case(replace(BASE, family="fwfm"), TRAIN),
    Case(replace(BASE, family="wukong", block_layers=1, tokens=4), TRAIN),
    Case(BASE, ORTHOGONAL),
    Case(BASE, ALIGNED, SLICED),
    Case(replace(BASE, num_sets=1), FLATTENED, (Parallel.DATA,)),
    Case(replace(BASE, num_sets=1), replace(FLATTENED, table_optimizer=TableOptimizer.ADAM), (Parallel.DATA,)),
    Case(replace(BASE, sharing=Sharing.SHARED_INTERACTION, combination=Combination.MEAN_LOGITS), TRAIN, SLICED),
)

DROPPING = Case(replace(BASE, dropout=0.3), TRAIN, (Parallel.SETS,))
"""Draws that are its workers' own, so that it is no trial of one worker to the bit."""


@dataclass(frozen=True)
class Seen:
    """What one worker saw of a trial."""

    tables: Tensor
    """The whole matrix as drawn."""
    weights: dict[str, Tensor]
    """Own dense parameters as drawn."""
    gradients: dict[str, Tensor]
    """Of own parameters in the first step."""
    sent: float
    """Bytes sent in the first step."""
    losses: list[float]
    """Of every step."""
    valid: float
    """Log loss on the valid split after them."""
    collapse: CollapseSummary
    """Then, too."""
    head: dict[str, Tensor]
    """The head, then, too."""
    few: list[float]
    """Logits of batches of 1 and 3 rows, which have no slice for some worker."""


def seen(path: Path, case: Case, strategy: Strategy) -> Seen:
    """Trains STEPS steps."""
    dataset = Dataset.open(path)
    run = TrainingRun(TrialSpec(dataset.manifest.fingerprint, case.model, case.train, SEED), dataset, CPU, strategy)
    tables = strategy.table_rows(run.model)[:].clone()
    weights = {name: parameter.detach().clone() for name, parameter in dense(run)}
    gradients: dict[str, Tensor] = {}
    found: list[float] = []
    counted = SentBytes()
    for epoch in range(2):
        run.model.train()
        for batch in islice(run.splits["train"].epoch(TRAIN.batch_size, SEED, epoch), STEPS - len(found)):
            if found:
                run._optimize(batch)
            else:
                with counted:
                    run._optimize(batch)
                gradients = {name: parameter.grad.clone() for name, parameter in dense(run)}
                gradients["tables.weight"] = run.model.tables.weight.grad.to_dense()
            found.append(run.losses.take_mean())
    look = run.evaluate()
    head = {name: value.clone() for name, value in run.model.head.state_dict().items()}
    (batch,) = islice(run.splits["valid"].in_order(3), 1)
    with torch.inference_mode():
        few = [strategy.gathered(strategy.score(run.model, batch.ids_BN[:rows])) for rows in (1, 3)]
    logits = torch.cat(few).tolist()
    return Seen(tables, weights, gradients, counted.total, found, look.valid.log_loss, look.collapse, head, logits)


def dense(run: TrainingRun) -> list[tuple[str, Tensor]]:
    return [(name, each) for name, each in run.model.named_parameters() if name != "tables.weight"]


def seen_by_worker(path: Path, cases: tuple[Case, ...]) -> list[list[Seen]]:
    """Every case in every way."""
    return [[seen(path, case, strategy_of(way)) for way in case.ways] for case in cases]


def own_part(whole: Tensor, like: Tensor, rank: int) -> Tensor:
    """A worker's part of what one worker has: rows or columns, where it has not all."""
    if whole.dim() and len(whole) != len(like):
        first = rank * -(-len(whole) // round(len(whole) / len(like)))
        return whole[first : first + len(like)]
    if whole.dim() == 2 and whole.shape[1] != like.shape[1]:
        return whole[:, rank * like.shape[1] : (rank + 1) * like.shape[1]]
    return whole


def same_bits(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    """Of every tensor."""
    return all(torch.equal(value, expected[name]) for name, value in found.items())


def measures(collapse: CollapseSummary) -> dict[str, float]:
    """Those that there are: a single set has no diversity."""
    return {name: value for name, value in vars(collapse).items() if value is not None}


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_workers_are_one(workers: int, small_dataset: Dataset) -> None:
    """Weights as drawn are the same bits; gradients, losses, quality and collapse the same numbers."""
    by_rank = in_workers(workers, seen_by_worker, small_dataset.path, (*CASES, DROPPING))
    sizes = small_dataset.manifest.vocabulary_sizes
    for number, case in enumerate(CASES):
        one = seen(small_dataset.path, case, ONE)
        assert one.losses[-1] < one.losses[0] + 0.1
        for place, way in enumerate(case.ways):
            first = by_rank[0][number][place]
            cost = worker_cost(case.model, case.train, sizes, way, workers)
            for rank in range(workers):
                found = by_rank[rank][number][place]
                assert torch.equal(found.tables, one.tables)
                for name, weight in found.weights.items():
                    assert torch.equal(weight, own_part(one.weights[name], weight, rank)), name
                for name, gradient in found.gradients.items():
                    expected = own_part(one.gradients[name], gradient, rank)
                    least = max(1e-4 * float(expected.abs().max()), ROUNDING)
                    assert torch.allclose(gradient, expected, rtol=1e-4, atol=least), (case, way, name)
                assert round(found.sent) == cost.sent_bytes_per_step
                assert found.losses == pytest.approx(one.losses, abs=1e-5)
                assert found.valid == pytest.approx(one.valid, abs=1e-3), "such biases drift"
                assert measures(found.collapse) == pytest.approx(measures(one.collapse), rel=1e-4)
                assert found.few == pytest.approx(one.few, abs=1e-2), "by the drift of running means"
                assert (found.losses, found.valid, found.collapse) == (first.losses, first.valid, first.collapse)
                assert same_bits(found.head, first.head)
    for found in by_rank:
        assert same_bits(found[-1][0].head, by_rank[0][-1][0].head), "every worker's head drops the same"


@pytest.mark.parametrize(
    ("changes", "way", "message"),
    [
        ({"num_sets": 2}, Parallel.SETS, "2 sets cannot be trained sets parallel by 4 workers: its num_sets is 2"),
        ({"sharing": Sharing.SHARED_TABLES}, Parallel.SETS, "its sharing is shared_tables"),
        ({"sharing": Sharing.SHARED_INTERACTION}, Parallel.SETS, "its sharing is shared_interaction"),
        ({"combination": Combination.CONCATENATION}, Parallel.SETS, "its combination is concatenation"),
        ({"penalty": Penalty.PATTERN_ALIGNMENT}, Parallel.SETS, "pattern_alignment compares the sets of all workers"),
        ({"penalty": Penalty.SUBSPACE_SIMILARITY}, Parallel.SETS, "subspace_similarity compares the sets of all"),
        ({"penalty": Penalty.SUBSPACE_SIMILARITY}, Parallel.DATA, "subspace_similarity compares sets on rows of"),
        ({"penalty": Penalty.SPECTRUM_FLATTENING}, Parallel.ROWS, "spectrum_flattening decomposes whole tables"),
        ({"batch_size": 5}, Parallel.DATA, "a batch has 5 rows, not enough for every worker"),
        ({"batch_size": 4797}, Parallel.ROWS, "an epoch's last batch has 3 rows, not enough"),
    ],
)
def test_what_cannot_be_divided_is_refused_by_name(changes: dict[str, object], way: Parallel, message: str) -> None:
    of_model = {name: value for name, value in changes.items() if name in ModelSpec.__dataclass_fields__}
    of_train = {name: value for name, value in changes.items() if name not in of_model}
    spec = TrialSpec("data", replace(BASE, **of_model), replace(TRAIN, **of_train), SEED)
    with pytest.raises(ConfigError, match=message):
        check_parallel(spec, way, workers=4, rows=4800, table_rows=10_000)
    check_parallel(spec, way, workers=1, rows=4800, table_rows=10_000)


def refused(check: Callable[[], object]) -> str:
    """The refusal's text."""
    with pytest.raises(ConfigError) as caught:
        check()
    return str(caught.value)


def test_tables_too_small_for_the_workers_and_a_missing_group_are_refused() -> None:
    spec = TrialSpec("data", BASE, TRAIN, SEED)
    text = refused(lambda: check_parallel(spec, Parallel.ROWS, workers=4, rows=4800, table_rows=5))
    assert "its tables have 5 rows in all" in text
    assert "no torch process group" in refused(lambda: strategy_of(Parallel.DATA))


class Gated(nn.Module):
    """An interaction with a weight that all sets share."""

    def __init__(self, sets: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(sets, 3))
        self.gate = nn.Parameter(torch.zeros(2))


def test_an_interaction_with_weights_that_sets_share_is_not_divided() -> None:
    text = refused(lambda: take_sets(Gated(2), Gated(4), rank=1, workers=2))
    assert "Gated: its gate is (2,) of all sets and (2,) of a worker's" in text
