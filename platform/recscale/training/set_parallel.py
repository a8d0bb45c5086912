"""Set parallel: every worker has M/W of the sets, with their tables and interactions, and sees every batch whole.

One all-reduce per step gives the mean of the hidden features over all sets. The head is every worker's: from the same
features it makes the same loss and the same gradients, which go back into each worker's own sets. No table travels.
Legend: B batch rows, M sets, K columns that a set has per id, C own columns, H hidden, W workers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from recscale.collapse.subembeddings import SubEmbedding, measure_sub_embeddings
from recscale.collapse.tables import Rows
from recscale.errors import ConfigError
from recscale.models.families import built_interaction, get_family
from recscale.models.model import MultiEmbeddingModel, table_columns
from recscale.models.sets import Streams, interaction_spec, joined_widths
from recscale.models.tables import EmbeddingTables
from recscale.records import ModelSpec, Parallel, TrialSpec
from recscale.training.parallel import TeamStrategy, gradient_layout, step_seed
from recscale.training.team import Team


class SetParallel(TeamStrategy):
    """Every worker has sets of its own."""

    parallel = Parallel.SETS

    def __init__(self, team: Team) -> None:
        super().__init__(team)
        self.state_name = self.own_state_name()
        self._head_seed = 0

    def build(self, spec: TrialSpec, vocabulary_sizes: Sequence[int]) -> MultiEmbeddingModel:
        """Own sets; tables of other sets are drawn but never held, their interactions are held for the moment."""
        own, fields = own_spec(spec.model, self.team.size), len(vocabulary_sizes)
        columns = table_columns(spec.model, fields)
        generator = torch.get_rng_state()
        tables = EmbeddingTables(vocabulary_sizes, own.num_sets, columns, gradient_layout(spec))
        model = MultiEmbeddingModel(own, vocabulary_sizes, tables=tables)
        torch.set_rng_state(generator)
        rows, own_columns = tables.weight.shape
        tables.draw_part((rows, spec.model.num_sets * columns), (0, self.team.rank * own_columns))
        family = get_family(spec.model.family)
        whole = built_interaction(family, interaction_spec(spec.model), fields)
        model.head = family.build_head(spec.model, joined_widths(whole.widths, spec.model))
        take_sets(model.interaction, whole, self.team.rank, self.team.size)
        model.across = self._across
        return model

    def begin(self, seed: int, step: int) -> None:
        """Own sets draw for themselves, the head as every worker's head."""
        super().begin(seed, step)
        self._head_seed = step_seed(seed, step, self.team.size)

    def _across(self, joined_BH: Streams) -> Streams:
        """The mean over the sets of all workers, of all streams at once."""
        mean_BH: Tensor = _MeanOverWorkers.apply(torch.cat(joined_BH, 1), self.team)  # type: ignore[no-untyped-call]
        torch.manual_seed(self._head_seed)
        return torch.split(mean_BH, [stream_BH.shape[1] for stream_BH in joined_BH], 1)

    def gathered(self, logit_R: Tensor) -> Tensor:
        """The first worker's: machines that are not alike may round unlike, and all have to stop at the same step."""
        return self.team.from_first(logit_R)

    def table_rows(self, model: MultiEmbeddingModel) -> Rows:
        """Own columns beside those of the others; for measurements, a few rows at a time."""
        return _SetColumns(model.tables.weight.detach(), self.team)

    def sub_embeddings(
        self, model: MultiEmbeddingModel, vocabulary_sizes: Sequence[int], blocks_MNNJK: Tensor
    ) -> tuple[SubEmbedding, ...]:
        """Each worker measures its own sets."""
        sets = model.tables.num_sets
        own = measure_sub_embeddings(model.tables.weight.detach(), sets, vocabulary_sizes, blocks_MNNJK)
        own = tuple(replace(row, set_index=row.set_index + self.team.rank * sets) for row in own)
        return sum(self.team.gather_objects(own), ())


def own_spec(spec: ModelSpec, workers: int) -> ModelSpec:
    """The model of one worker's sets: the same embed_dim."""
    return replace(spec, scale=spec.scale / workers, num_sets=spec.num_sets // workers)


@torch.no_grad()
def take_sets(own: nn.Module, whole: nn.Module, rank: int, workers: int) -> None:
    """Copies one worker's sets out of an interaction of all sets; ConfigError where a parameter is not set by set."""
    taken = {**dict(whole.named_parameters()), **dict(whole.named_buffers())}
    parameters = dict(own.named_parameters())
    for name, target in (*parameters.items(), *own.named_buffers()):
        source = taken[name]
        if source.shape == (len(target) * workers if target.dim() else 0, *target.shape[1:]):
            target.copy_(source[rank * len(target) : (rank + 1) * len(target)])
        elif name in parameters or source.shape != target.shape:
            raise ConfigError(
                f"set parallel cannot divide {type(whole).__name__}: its {name} is {tuple(source.shape)} of all sets "
                f"and {tuple(target.shape)} of a worker's; expected sets in its first dimension; use data parallel"
            )


class _MeanOverWorkers(torch.autograd.Function):
    """The mean of every worker's tensor. Each makes the same loss of it, so its gradient is there without a message."""

    @staticmethod
    def forward(ctx: Any, own_BH: Tensor, team: Team) -> Tensor:
        ctx.workers = team.size
        return team.add(own_BH.float().clone()).div_(team.size)

    @staticmethod
    def backward(ctx: Any, grad_BH: Tensor) -> tuple[Tensor, None]:
        return grad_BH / ctx.workers, None


@dataclass(frozen=True)
class _SetColumns:
    """A matrix whose columns lie with several workers, the same number with each."""

    own_VC: Tensor  # noqa: N815
    """This worker's."""
    team: Team
    """Who has the others."""

    @property
    def shape(self) -> torch.Size:
        """Of the whole."""
        return torch.Size((len(self.own_VC), self.own_VC.shape[1] * self.team.size))

    @property
    def device(self) -> torch.device:
        """Where slices lie."""
        return self.own_VC.device

    def __getitem__(self, rows: slice) -> Tensor:
        """All columns of these rows, on every worker."""
        return torch.cat(self.team.gather(self.own_VC[rows]), 1)
