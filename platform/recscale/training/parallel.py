"""How one trial is divided over workers: what each has of the model and of a batch, and where they have to meet.

Legend: B batch rows, N fields, M embedding sets, K columns that a set has per id, P = M*K, R rows of a split.
"""
# ruff: noqa: N815

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from recscale.collapse.subembeddings import SubEmbedding, measure_sub_embeddings
from recscale.collapse.tables import Rows
from recscale.data.splits import Batch
from recscale.errors import ConfigError
from recscale.models.model import MultiEmbeddingModel
from recscale.models.tables import GradientLayout
from recscale.records import (
    Combination,
    ModelSpec,
    Parallel,
    Penalty,
    Sharing,
    TableOptimizer,
    TrainSpec,
    TrialSpec,
)
from recscale.training.team import Team

_ACROSS_ROWS = {Penalty.SUBSPACE_SIMILARITY: "compares sets on rows of the whole batch; use one worker"}
UNDIVIDED: dict[Parallel, dict[Penalty, str]] = {
    Parallel.DATA: _ACROSS_ROWS,
    Parallel.SETS: {
        Penalty.SUBSPACE_SIMILARITY: "compares the sets of all workers; use one worker",
        Penalty.PATTERN_ALIGNMENT: "compares the sets of all workers; use data",
    },
    Parallel.ROWS: {**_ACROSS_ROWS, Penalty.SPECTRUM_FLATTENING: "decomposes whole tables; use data"},
}
"""Penalties that a way to divide a trial does not admit, and why."""


class Part(NamedTuple):
    """What one worker has of a batch."""

    ids_BN: Tensor
    """Ids that it looks up."""
    label_B: Tensor
    """Labels of the rows that it scores."""
    weight: float
    """These rows as a share of the batch's: what their mean loss counts in the batch's."""


class Strategy:
    """Of a trial that one worker trains."""

    penalty_weight = 1.0
    """What this worker's penalty term counts, so that the workers' gradients come to that of one term."""
    state_name = "state.pt"
    """File of this worker's part of a checkpoint."""
    writes_state = True
    """Whether this worker has a part of a checkpoint to write."""
    writes_results = True
    """Whether this worker writes what the trial leaves behind."""

    def check(self, spec: TrialSpec, rows: int, table_rows: int) -> None:
        """Refuses a trial of so many train rows and table rows that cannot be divided so."""

    def build(self, spec: TrialSpec, vocabulary_sizes: Sequence[int]) -> MultiEmbeddingModel:
        """This worker's part of the model, with the very weights that one worker would draw by torch's generator."""
        return MultiEmbeddingModel(spec.model, vocabulary_sizes, gradient_layout(spec))

    def begin(self, seed: int, step: int) -> None:
        """Before a step: workers that draw for themselves draw what depends on seed, step and rank alone."""

    def part(self, batch: Batch) -> Part:
        """What this worker has of a batch."""
        return Part(batch.ids_BN, batch.label_B, 1.0)

    def reduce(
        self, model: MultiEmbeddingModel, dense: Sequence[nn.Parameter], loss: Tensor, objective: Tensor
    ) -> tuple[Tensor, Tensor]:
        """After the backward pass: makes gradients those of the whole batch; its loss and objective, detached."""
        return loss.detach(), objective.detach()

    def score(self, model: MultiEmbeddingModel, ids_BN: Tensor) -> Tensor:
        """logit_B in float32 without gradients; 0 where another worker scores the row."""
        logit_B: Tensor = model(ids_BN)
        return logit_B.float()

    def gathered(self, logit_R: Tensor) -> Tensor:
        """Every worker's scores of a split as one, the same bits on each."""
        return logit_R

    def table_rows(self, model: MultiEmbeddingModel) -> Rows:
        """The whole matrix [V, P]; where it lies with several workers, each reads the same rows at the same time."""
        return model.tables.weight.detach()

    def sub_embeddings(
        self, model: MultiEmbeddingModel, vocabulary_sizes: Sequence[int], blocks_MNNJK: Tensor
    ) -> tuple[SubEmbedding, ...]:
        """Of all sets, given the blocks of this worker's."""
        rows = self.table_rows(model)
        return measure_sub_embeddings(rows, model.tables.num_sets, vocabulary_sizes, blocks_MNNJK)

    def largest(self, value: int) -> int:
        """The largest of the workers' values."""
        return value


ONE = Strategy()
"""One worker."""


class TeamStrategy(Strategy):
    """What all ways to divide a trial have in common."""

    parallel: Parallel
    """Which way it is."""

    def __init__(self, team: Team) -> None:
        self.team = team
        self.writes_results = team.rank == 0

    def check(self, spec: TrialSpec, rows: int, table_rows: int) -> None:
        """As the plan does."""
        check_parallel(spec, self.parallel, self.team.size, rows, table_rows)

    def begin(self, seed: int, step: int) -> None:
        """Unlike dropout in every worker."""
        torch.manual_seed(_mixed(seed, step, self.team.rank))

    def largest(self, value: int) -> int:
        """Over all workers."""
        return max(self.team.gather_objects(value))

    def own_state_name(self) -> str:
        """Of a part that no other worker has; a checkpoint of another number of workers holds no such file."""
        return f"state-{self.team.rank}-of-{self.team.size}.pt"


def gradient_layout(spec: TrialSpec) -> GradientLayout:
    """Of the tables' gradient where one worker has them."""
    return GradientLayout.DENSE if spec.train.table_optimizer is TableOptimizer.ADAM else GradientLayout.SPARSE


def check_parallel(spec: TrialSpec, parallel: Parallel, workers: int, rows: int, table_rows: int) -> None:
    """Refuses a trial of so many train rows and table rows that cannot be divided so; ConfigError says by what."""
    if workers == 1:
        return
    model, train = spec.model, spec.train
    problem = _set_problem(model, workers) if parallel is Parallel.SETS else _slice_problem(train, workers, rows)
    if parallel is Parallel.ROWS and _empty_slice(table_rows, workers):
        problem = f"its tables have {table_rows} rows in all, not enough for every worker to hold some; use data"
    if train.penalty in UNDIVIDED[parallel]:
        problem = f"the penalty {train.penalty.value} {UNDIVIDED[parallel][train.penalty]}"
    if problem:
        raise ConfigError(
            f"{model.family} at scale {model.scale:g} with {model.num_sets} sets cannot be trained {parallel.value} "
            f"parallel by {workers} workers: {problem}"
        )


def _set_problem(model: ModelSpec, workers: int) -> str:
    """Why sets cannot be told apart; empty where they can."""
    if model.num_sets % workers:
        return f"its num_sets is {model.num_sets}, expected a multiple of the workers; use data, or other workers"
    if model.sharing is not Sharing.SEPARATE:
        return f"its sharing is {model.sharing.value}, so that sets are not apart; use data"
    if model.combination is not Combination.MEAN_FEATURES:
        return f"its combination is {model.combination.value}, but workers join sets by mean_features; use data"
    return ""


def _slice_problem(train: TrainSpec, workers: int, rows: int) -> str:
    """Why a batch cannot be sliced; empty where it can."""
    last = rows % train.batch_size
    for name, batch in (("a batch", train.batch_size), ("an epoch's last batch", last if last > 1 else 0)):
        if batch and _empty_slice(batch, workers):
            return f"{name} has {batch} rows, not enough for every worker; use another batch_size or fewer workers"
    return ""


def _empty_slice(rows: int, workers: int) -> bool:
    """Whether torch.chunk leaves a worker without any."""
    return -(-rows // workers) * (workers - 1) >= rows


def strategy_of(parallel: Parallel) -> Strategy:
    """The strategy of a worker whose torch process group is there."""
    from recscale.training.data_parallel import DataParallel
    from recscale.training.row_parallel import RowParallel
    from recscale.training.set_parallel import SetParallel

    kinds: dict[Parallel, type[TeamStrategy]] = {
        Parallel.DATA: DataParallel,
        Parallel.SETS: SetParallel,
        Parallel.ROWS: RowParallel,
    }
    return kinds[parallel](Team())


def _mixed(seed: int, step: int, stream: int) -> int:
    """A seed of torch's generator."""
    return int(np.random.SeedSequence([seed, step, stream]).generate_state(1, np.uint64)[0] >> 1)


def step_seed(seed: int, step: int, workers: int) -> int:
    """What all workers draw alike in a step: a stream that is no worker's own."""
    return _mixed(seed, step, workers)
