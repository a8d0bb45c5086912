"""Row parallel: the tables' rows lie with several workers as one of torch's distributed tensors.

Every worker looks up the whole batch and gets its slice of it; all else is data parallel.
Legend: B batch rows, N fields, M sets, K columns that a set has per id, V rows, C = M*K, D own rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from recscale.collapse.tables import Rows
from recscale.data.splits import Batch
from recscale.models.model import MultiEmbeddingModel, table_columns
from recscale.models.tables import EmbeddingTables, GradientLayout
from recscale.records import Parallel, TableOptimizer, TrialSpec
from recscale.training.data_parallel import DataParallel, normalise_together, slice_rows
from recscale.training.parallel import Part
from recscale.training.team import Team


class RowParallel(DataParallel):
    """Slices of a batch, rows of the tables."""

    parallel = Parallel.ROWS

    def __init__(self, team: Team) -> None:
        super().__init__(team)
        self.writes_state = True
        self.state_name = self.own_state_name()

    def build(self, spec: TrialSpec, vocabulary_sizes: Sequence[int]) -> MultiEmbeddingModel:
        """Own rows; the others are drawn but never held."""
        self._dense_tables = spec.train.table_optimizer is TableOptimizer.ADAM
        columns = table_columns(spec.model, len(vocabulary_sizes))
        tables = RowShardedTables(vocabulary_sizes, spec.model.table_sets, columns, self.team)
        model = MultiEmbeddingModel(spec.model, vocabulary_sizes, tables=tables)
        normalise_together(model, self.team)
        return model

    def part(self, batch: Batch) -> Part:
        """Looks up the whole batch, scores its slice."""
        return super().part(batch)._replace(ids_BN=batch.ids_BN)

    def _reduce_tables(self, tables: EmbeddingTables) -> None:
        """Every worker has its rows' whole gradient; touched rows of it for an optimizer that moves no others."""
        assert isinstance(tables, RowShardedTables)
        if not self._dense_tables:
            grad = tables.weight.grad
            assert grad is not None
            row_L = tables.touched_rows()
            tables.weight.grad = torch.sparse_coo_tensor(
                row_L[None], grad.index_select(0, row_L), grad.shape, check_invariants=False
            )

    def score(self, model: MultiEmbeddingModel, ids_BN: Tensor) -> Tensor:
        """All look up together."""
        own = self.own_slice(len(ids_BN))
        logit_B = torch.zeros(len(ids_BN), device=ids_BN.device)
        emb_MBNK = model.tables(ids_BN)
        if own.start < own.stop:
            logit_B[own] = model.score(emb_MBNK).float()
        return logit_B

    def table_rows(self, model: MultiEmbeddingModel) -> Rows:
        """Rows from whoever has them; for measurements, a few at a time."""
        assert isinstance(model.tables, RowShardedTables)
        return _SharedRows(model.tables, self.team)


class RowShardedTables(EmbeddingTables):
    """One worker's rows of the matrix [V, M*K]; `forward` is every worker's at the same time."""

    def __init__(self, vocabulary_sizes: Sequence[int], num_sets: int, embed_dim: int, team: Team) -> None:
        rows, columns = sum(vocabulary_sizes), num_sets * embed_dim
        most = slice_rows(rows, team.size)
        generator = torch.get_rng_state()
        super().__init__([1] * len(vocabulary_sizes), num_sets, embed_dim, GradientLayout.DENSE)
        torch.set_rng_state(generator)
        self.vocabulary_sizes = tuple(vocabulary_sizes)
        self.offsets_N = torch.tensor([field.start for field in self.field_slices()])
        self.rows, self.first, self.workers = rows, team.rank * most, team.size
        own = min(most, rows - self.first)
        self.weight = nn.Parameter(torch.empty(own, columns))
        self.draw_part((rows, columns), (self.first, 0))
        self._looked_up = torch.empty(0, len(vocabulary_sizes), dtype=torch.int64)

    def forward(self, ids_BN: Tensor) -> Tensor:
        """Vectors emb_MBNK of this worker's slice of the batch."""
        from torch.distributed.tensor import DTensor, Replicate, Shard  # takes a second, which one worker need not pay

        self._looked_up = ids_BN
        columns = self.weight.shape[1]
        weight_VC = DTensor.from_local(
            self.weight,
            self._mesh,
            [Shard(0)],
            run_check=False,
            shape=torch.Size((self.rows, columns)),
            stride=(columns, 1),
        )
        rows = DTensor.from_local(ids_BN + self.offsets_N, self._mesh, [Replicate()], run_check=False)
        looked_up = functional.embedding(rows, weight_VC)
        emb_BNC: Tensor = looked_up.redistribute(placements=[Shard(0)]).to_local()  # type: ignore[attr-defined]
        emb_BNMK = emb_BNC.view(*emb_BNC.shape[:2], self.num_sets, self.embed_dim)
        return emb_BNMK.permute(2, 0, 1, 3).contiguous()

    @cached_property
    def _mesh(self) -> Any:
        """The workers as torch's distributed tensors know them, once the rows lie on their device."""
        from torch.distributed.device_mesh import init_device_mesh

        return init_device_mesh(self.weight.device.type, (self.workers,))

    def rows_of(self, ids_BN: Tensor) -> Tensor:
        """row_L: own rows among those of a batch, counted from the first of them."""
        row_BN = ids_BN + (self.offsets_N - self.first)
        return row_BN[(row_BN >= 0) & (row_BN < len(self.weight))]

    def touched_rows(self) -> Tensor:
        """Own rows that the newest batch looked up, each once."""
        row_U: Tensor = torch.unique(self.rows_of(self._looked_up))
        return row_U


@dataclass(frozen=True)
class _SharedRows:
    """A matrix whose rows lie with several workers."""

    tables: RowShardedTables
    """This worker's."""
    team: Team
    """Who has the others."""

    @property
    def shape(self) -> torch.Size:
        """Of the whole."""
        return torch.Size((self.tables.rows, self.tables.weight.shape[1]))

    @property
    def device(self) -> torch.device:
        """Where slices lie."""
        return self.tables.weight.device

    def __getitem__(self, rows: slice) -> Tensor:
        """These rows on every worker: a sum of which each row has one term that is not 0."""
        first, last, _ = rows.indices(self.tables.rows)
        own_DC, start = self.tables.weight.detach(), self.tables.first
        part = torch.zeros(last - first, own_DC.shape[1], dtype=own_DC.dtype, device=own_DC.device)
        low, high = max(first, start), min(last, start + len(own_DC))
        if low < high:
            part[low - first : high - first] = own_DC[low - start : high - start]
        return self.team.add(part)
