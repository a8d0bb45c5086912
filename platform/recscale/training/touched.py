"""Rows of the tables that a batch touched: which they are, and what a step changed in them.

Legend: L looked-up rows of a batch, duplicates included, U distinct ones, V table rows, W columns of a row, N fields.
"""
# ruff: noqa: N815

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recscale.models.tables import compiles
from recscale.training.row_optimizers import sorted_lookups


class TouchedRows(NamedTuple):
    """The distinct rows of a batch's lookups, field by field."""

    row_U: Tensor
    place_U: Tensor
    """Where the batch looks up each first, as an index into L."""
    sizes: list[int]
    """How many rows are of each field."""


class RowFinder:
    """Finds touched rows and their changes: by compiled kernels where those take the table, else by torch."""

    def __init__(self) -> None:
        self._slot_V: np.ndarray | None = None

    def find(self, row_L: Tensor, weight_VW: Tensor, offsets_N: Tensor) -> TouchedRows:
        """The rows of lookups; sorted by torch, in the order in which the batch meets a field's by the kernel.

        `offsets_N` is where each field's rows start in the table.
        """
        if not compiles(weight_VW):
            sorted_L, place_L, first_L = sorted_lookups(row_L)
            row_U = sorted_L[first_L].long()
            starts = torch.searchsorted(row_U, offsets_N).tolist()
            sizes = [stop - start for start, stop in pairwise([*starts, len(row_U)])]
            return TouchedRows(row_U, place_L[first_L], sizes)
        from recscale.kernels import touched_rows  # only here: an accelerator needs no numba

        if self._slot_V is None:
            self._slot_V = touched_rows.free_slots(len(weight_VW))
        row_U, place_U, size_N = touched_rows.first_lookups(row_L.numpy(), offsets_N.numpy(), self._slot_V)
        return TouchedRows(torch.from_numpy(row_U), torch.from_numpy(place_U), size_N.tolist())

    def moves(self, row_U: Tensor, weight_VW: Tensor, old_UW: Tensor) -> tuple[Tensor, Tensor]:
        """What rows are now less what they were, and the sum of both; `old_UW` is written over."""
        if not compiles(weight_VW):
            new_UW = weight_VW.index_select(0, row_U)
            return new_UW - old_UW, old_UW.add_(new_UW)
        from recscale.kernels import touched_rows

        moved_UW = touched_rows.moves(row_U.numpy(), weight_VW.detach().numpy(), old_UW.numpy())
        return torch.from_numpy(moved_UW), old_UW
