"""One trial over several workers against the same trial by one."""

from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from recscale.data.reader import Dataset
from recscale.records import ModelSpec, Parallel, TableOptimizer, TrainSpec, TrialSpec
from recscale.training.parallel import Strategy, strategy_of
from recscale.training.run import TrainingRun
from recscale.training.traffic import worker_cost
from tests.training.counting import SentBytes
from tests.training.workers import in_workers

CPU = torch.device("cpu")
STEPS = 21
"""One more than an epoch of 20 batches, the last of which is small."""
TRAIN = TrainSpec(batch_size=250, learning_rate=3e-3, weight_decay=1e-4)
BASE = ModelSpec("dcnv2", scale=4.0, num_sets=4, base_dim=4, hidden_sizes=(16, 8), cross_layers=2, dropout=0.0)

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Case:
    """A trial and a way to divide it."""

    parallel: Parallel
    """The way."""
    model: ModelSpec
    """Its model."""
    train: TrainSpec = TRAIN
    """Its training."""
    seed: int = 3
    """Of a run in which no activation lies so near to 0 that rounding decides its ReLU."""


def run_of(path: Path, case: Case, strategy: Strategy) -> TrainingRun:
    """This worker's part of the trial before its first step."""
    dataset = Dataset.open(path)
    spec = TrialSpec(dataset.manifest.fingerprint, case.model, case.train, case.seed)
    return TrainingRun(spec, dataset, CPU, strategy)


def losses(path: Path, case: Case, strategy: Strategy) -> tuple[list[float], float]:
    """The loss of every step, and the valid split's log loss after them."""
    dataset = Dataset.open(path)
    run = TrainingRun(
        TrialSpec(dataset.manifest.fingerprint, case.model, case.train, case.seed), dataset, CPU, strategy
    )
    found = []
    for epoch in range(2):
        run.model.train()
        for batch in islice(run.splits["train"].epoch(case.train.batch_size, case.seed, epoch), STEPS - len(found)):
            run._optimize(batch)
            found.append(run.losses.take_mean())
    return found, run.evaluate().valid.log_loss


def sent(path: Path, case: Case) -> float:
    """Bytes that this worker sends in a step of a whole batch."""
    run = run_of(path, case, strategy_of(case.parallel))
    run.model.train()
    (batch,) = islice(run.splits["train"].epoch(case.train.batch_size, case.seed, 0), 1)
    with SentBytes() as counted:
        run._optimize(batch)
    return counted.total


def sent_in_worker(path: Path, cases: list[Case]) -> list[float]:
    return [sent(path, case) for case in cases]


def in_worker(path: Path, cases: list[Case]) -> list[tuple[list[float], float]]:
    return [losses(path, case, strategy_of(case.parallel)) for case in cases]


def cases() -> list[Case]:
    """Families with and without batch normalisation in sets and head, every table optimizer, penalties."""
    return [
        Case(parallel, replace(BASE, family=family), replace(TRAIN, table_optimizer=optimizer), seed)
        for parallel in Parallel
        for family, optimizer, seed in (
            ("dcnv2", TableOptimizer.LAZY_ADAM, 1),
            ("finalmlp", TableOptimizer.ADAM, 0),
            ("xdeepfm", TableOptimizer.ROWWISE_ADAGRAD, 1),
            ("fwfm", TableOptimizer.LAZY_ADAM, 0),
        )
    ]


@pytest.mark.parametrize("workers", [2, 4])
def test_every_step_has_the_loss_of_one_worker(workers: int, small_dataset: Dataset) -> None:
    path, chosen = small_dataset.path, cases()
    divided = in_workers(workers, in_worker, path, chosen)
    for number, case in enumerate(chosen):
        alone, valid = losses(path, case, Strategy())
        for rank in range(workers):
            found, found_valid = divided[rank][number]
            worst = max(abs(a - b) for a, b in zip(alone, found, strict=True))
            print(workers, rank, case.parallel, case.model.family, worst, abs(valid - found_valid))
            assert found == pytest.approx(alone, abs=1e-5)
            assert found_valid == pytest.approx(valid, abs=1e-4), "a bias before a normalisation drifts by rounding"


@pytest.mark.parametrize("workers", [2, 4])
def test_what_is_sent_is_what_was_counted(workers: int, small_dataset: Dataset) -> None:
    chosen = [replace(case, train=replace(case.train, batch_size=250)) for case in cases()]
    by_rank = in_workers(workers, sent_in_worker, small_dataset.path, chosen)
    sizes = small_dataset.manifest.vocabulary_sizes
    for number, case in enumerate(chosen):
        cost = worker_cost(case.model, case.train, sizes, case.parallel, workers)
        assert cost.sent_bytes_per_step > 0
        print(case.parallel, case.model.family, cost, by_rank[0][number])
        for found in by_rank:
            assert round(found[number]) == cost.sent_bytes_per_step
