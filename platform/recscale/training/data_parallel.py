"""Data parallel: every worker has the whole model and a slice of every batch; gradients are summed.

The batch is the trial's: its normalisation is over all workers' rows, and a step is that of one worker.
Legend: B batch rows, N fields, M sets, H features of a set, F = M*H, U rows that a worker sends, C columns of a row.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recscale.data.splits import Batch
from recscale.models.model import MultiEmbeddingModel
from recscale.models.normalisation import NormReLUDropout
from recscale.models.tables import EmbeddingTables, GradientLayout
from recscale.records import Parallel, TableOptimizer, TrialSpec
from recscale.training.parallel import Part, TeamStrategy, gradient_layout
from recscale.training.team import Team


class DataParallel(TeamStrategy):
    """Dense gradients by one all-reduce; of the tables only touched rows travel, by one all-gather."""

    parallel = Parallel.DATA

    def __init__(self, team: Team) -> None:
        super().__init__(team)
        self.penalty_weight = 1 / team.size
        self.writes_state = team.rank == 0
        self._batch_rows = 0
        self._dense_tables = False

    def build(self, spec: TrialSpec, vocabulary_sizes: Sequence[int]) -> MultiEmbeddingModel:
        """The whole model."""
        self._dense_tables = spec.train.table_optimizer is TableOptimizer.ADAM
        model = MultiEmbeddingModel(spec.model, vocabulary_sizes, gradient_layout(spec))
        model.tables.lookup_layout = GradientLayout.SPARSE  # dense, where it is to be, once it has been sent
        normalise_together(model, self.team)
        return model

    def part(self, batch: Batch) -> Part:
        """Its slice."""
        self._batch_rows = len(batch.label_B)
        own = self.own_slice(self._batch_rows)
        label_B = batch.label_B[own]
        return Part(batch.ids_BN[own], label_B, len(label_B) / self._batch_rows)

    def own_slice(self, rows: int) -> slice:
        """This worker's of so many rows, as torch.chunk cuts them."""
        most = slice_rows(rows, self.team.size)
        return slice(self.team.rank * most, min((self.team.rank + 1) * most, rows))

    def reduce(
        self, model: MultiEmbeddingModel, dense: Sequence[nn.Parameter], loss: Tensor, objective: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sums everything; the losses travel with the dense gradients."""
        grads = [parameter.grad for parameter in dense if parameter.grad is not None]
        flat = torch.cat([loss.detach().view(1), objective.detach().view(1), *(grad.flatten() for grad in grads)])
        sums = torch.split(self.team.add(flat), [1, 1, *(grad.numel() for grad in grads)])
        for grad, summed in zip(grads, sums[2:], strict=True):
            grad.copy_(summed.view_as(grad))
        self._reduce_tables(model.tables)
        return sums[0].squeeze(0), sums[1].squeeze(0)

    def _reduce_tables(self, tables: EmbeddingTables) -> None:
        """Every worker's touched rows, one after the other; a row that several touched is summed by the optimizer."""
        assert tables.weight.grad is not None
        grad = tables.weight.grad.coalesce()
        row_U, value_UC = self._padded(grad, sent_rows(tables.vocabulary_sizes, self._batch_rows, self.team.size))
        rows, values = torch.cat(self.team.gather(row_U)), torch.cat(self.team.gather(value_UC))
        summed = torch.sparse_coo_tensor(rows.long()[None], values, grad.shape, check_invariants=False)
        tables.weight.grad = summed.to_dense() if self._dense_tables else summed

    def _padded(self, grad: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        """Touched rows and their gradients, filled up by the first of them with a gradient of 0.

        So what travels has a size that is known before, and no worker waits to be told it.
        """
        row_L, value_LC = grad.indices()[0], grad.values()
        row_U = row_L.new_empty(rows, dtype=torch.int32).copy_(row_L[:1].expand(rows))
        value_UC = value_LC.new_zeros(rows, value_LC.shape[1])
        row_U[: len(row_L)], value_UC[: len(row_L)] = row_L, value_LC
        return row_U, value_UC

    def score(self, model: MultiEmbeddingModel, ids_BN: Tensor) -> Tensor:
        """Its slice's rows, which is none of a small batch."""
        own = self.own_slice(len(ids_BN))
        logit_B = torch.zeros(len(ids_BN), device=ids_BN.device)
        if own.start < own.stop:
            logit_B[own] = model(ids_BN[own]).float()
        return logit_B

    def gathered(self, logit_R: Tensor) -> Tensor:
        """The sum, in which every row has one term that is not 0."""
        return self.team.add(logit_R)


def slice_rows(rows: int, workers: int) -> int:
    """Rows of the largest slice of a batch."""
    return -(-rows // workers)


def sent_rows(vocabulary_sizes: Sequence[int], batch_rows: int, workers: int) -> int:
    """U: as many rows as a slice can touch."""
    most = slice_rows(batch_rows, workers)
    return sum(min(most, size) for size in vocabulary_sizes)


def normalise_together(model: nn.Module, team: Team) -> None:
    """Lets every batch normalisation see the rows of all workers."""

    def standardise(x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        found: tuple[Tensor, Tensor, Tensor, Tensor] = _Standardised.apply(x, eps, team)  # type: ignore[no-untyped-call]
        return found

    for module in model.modules():
        if isinstance(module, NormReLUDropout):
            module.across = standardise


class _Standardised(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) over all workers' rows: one all-gather forward, one all-reduce backward.

    Means and squares about them are combined in float64 (Chan et al. 1979), so nothing is lost to a large mean.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float, team: Team) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        own_mean = x.mean(-2)
        square = (x - own_mean.unsqueeze(-2)).square().sum(-2)
        rows = x.new_full((1,), x.shape[-2])
        sent = torch.cat([own_mean.flatten(), square.flatten(), rows])
        parts_WX = torch.stack(team.gather(sent)).double()
        mean_WF, square_WF, rows_W1 = torch.split(parts_WX, [own_mean.numel(), own_mean.numel(), 1], 1)
        total = rows_W1.sum()
        mean_F = (mean_WF * rows_W1).sum(0) / total
        variance_F = (square_WF + rows_W1 * (mean_WF - mean_F).square()).sum(0) / total
        inverse = (variance_F + eps).rsqrt().to(x.dtype).view_as(own_mean).unsqueeze(-2)
        standard = (x - mean_F.to(x.dtype).view_as(own_mean).unsqueeze(-2)) * inverse
        ctx.save_for_backward(standard, inverse, total)
        ctx.team = team
        ctx.mark_non_differentiable(mean_F, variance_F, total)
        return standard, mean_F.to(x.dtype), variance_F.to(x.dtype), total

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, None, None]:
        standard, inverse, total = ctx.saved_tensors
        sums = torch.stack([grad.sum(-2), (grad * standard).sum(-2)])
        mean, product = ctx.team.add(sums).unsqueeze(-2) / total.to(grad.dtype)
        return inverse * (grad - mean - standard * product), None, None
