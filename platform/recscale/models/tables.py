"""Embedding tables of all fields and all sets, fused into one matrix.

Legend: B batch, N fields, M embedding sets, K embedding dimension per set, V rows over all fields.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from recscale.errors import ConfigError

DRAWN_ENTRIES = 2**22
"""Entries drawn at a time where a part of a matrix is kept: 16 MiB."""


class GradientLayout(StrEnum):
    """Layout of the gradient on the fused table: dense for an optimizer that moves every row, else sparse COO."""

    DENSE = "dense"
    SPARSE = "sparse"


def compiles(table_VC: Tensor) -> bool:
    """Whether the compiled kernels take this table."""
    return table_VC.is_cpu and table_VC.dtype is torch.float32


def looked_up(rows_BN: Tensor, weight_VC: Tensor, layout: GradientLayout) -> Tensor:
    """Rows [B, N, C] of a table."""
    if layout is GradientLayout.DENSE and compiles(weight_VC):
        found_BNC: Tensor = _DenseLookup.apply(rows_BN, weight_VC)  # type: ignore[no-untyped-call]
        return found_BNC
    return functional.embedding(rows_BN, weight_VC, sparse=layout is GradientLayout.SPARSE)


class _DenseLookup(torch.autograd.Function):
    """A lookup whose dense gradient is summed by a compiled kernel, several times as fast as torch's on a CPU."""

    @staticmethod
    def forward(ctx: Any, rows_BN: Tensor, weight_VC: Tensor) -> Tensor:
        ctx.save_for_backward(rows_BN)
        ctx.shape = weight_VC.shape
        return functional.embedding(rows_BN, weight_VC)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BNC: Tensor) -> tuple[None, Tensor]:
        from recscale.kernels import touched_rows  # only here: an accelerator needs no numba

        (rows_BN,) = ctx.saved_tensors
        grad_VC = grad_BNC.new_zeros(ctx.shape)
        grad_LC = grad_BNC.reshape(-1, grad_VC.shape[1])
        touched_rows.add_rows(rows_BN.reshape(-1).numpy(), grad_LC.numpy(), grad_VC.numpy())
        return None, grad_VC


class EmbeddingTables(nn.Module):
    """One matrix [V, M*K]: a row holds an id's vectors of every set, so one gather serves them all."""

    offsets_N: Tensor  # noqa: N815

    def __init__(
        self,
        vocabulary_sizes: Sequence[int],
        num_sets: int,
        embed_dim: int,
        gradient_layout: GradientLayout = GradientLayout.SPARSE,
    ) -> None:
        super().__init__()
        if not vocabulary_sizes or min(vocabulary_sizes) < 1:
            raise ConfigError(
                f"vocabulary sizes {list(vocabulary_sizes)}: expected at least one field and one id or more in each; "
                f"take them from the dataset's manifest"
            )
        self.vocabulary_sizes = tuple(vocabulary_sizes)
        self.num_sets = num_sets
        self.embed_dim = embed_dim
        self.gradient_layout = self.lookup_layout = gradient_layout
        starts = [0, *accumulate(self.vocabulary_sizes)]
        self.weight = nn.Parameter(torch.empty(starts[-1], num_sets * embed_dim))
        self.register_buffer("offsets_N", torch.tensor(starts[:-1], dtype=torch.int64), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Xavier-uniform over the whole [V, K] matrix of each set, so a set starts like a single-embedding table."""
        bound = math.sqrt(6 / (self.weight.shape[0] + self.embed_dim))
        nn.init.uniform_(self.weight, -bound, bound)

    def draw_part(self, whole: tuple[int, int], corner: tuple[int, int]) -> None:
        """Fills `weight` with its part of what the whole matrix [V, M*K] would be drawn as, from `corner` on.

        The whole is drawn, by and by, so that torch's generator is left as by drawing it; a part of it is held.
        """
        bound = math.sqrt(6 / (whole[0] + self.embed_dim))
        (first, left), (rows, columns) = corner, self.weight.shape
        chunk_rows = max(1, DRAWN_ENTRIES // whole[1])
        with torch.no_grad():
            for start in range(0, whole[0], chunk_rows):
                chunk_RC = torch.empty(min(chunk_rows, whole[0] - start), whole[1]).uniform_(-bound, bound)
                low, high = max(start, first), min(start + len(chunk_RC), first + rows)
                if low < high:
                    kept_RC = chunk_RC[low - start : high - start, left : left + columns]
                    self.weight[low - first : high - first].copy_(kept_RC)

    def forward(self, ids_BN: Tensor) -> Tensor:
        """Vectors emb_MBNK, contiguous, of ids that are local to their field."""
        return self.vectors(ids_BN + self.offsets_N, self.weight)

    def rows_of(self, ids_BN: Tensor) -> Tensor:
        """row_L: rows of `weight` that ids of a batch mean, as far as they are held here."""
        return (ids_BN + self.offsets_N).flatten()

    def vectors(self, rows_BN: Tensor, weight_VC: Tensor) -> Tensor:
        """Vectors emb_MBNK, contiguous, of rows of a matrix like `weight`; of rows_SBN emb_SMBNK."""
        emb_BNC = looked_up(rows_BN, weight_VC, self.lookup_layout)
        emb_BNMK = emb_BNC.view(*rows_BN.shape, self.num_sets, self.embed_dim)
        return emb_BNMK.movedim(-2, -4).contiguous()

    def field_slices(self) -> tuple[slice, ...]:
        """Rows of each field in `weight`, in column order."""
        starts = [0, *accumulate(self.vocabulary_sizes)]
        return tuple(slice(start, stop) for start, stop in pairwise(starts))

    def by_set(self) -> Tensor:
        """View [V, M, K] of the fused matrix, sets apart."""
        return self.weight.view(-1, self.num_sets, self.embed_dim)

    def field_weight(self, field: int) -> Tensor:
        """View [D_i, M, K] of one field's rows, sets apart."""
        return self.by_set()[self.field_slices()[field]]
