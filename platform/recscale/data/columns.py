"""Rows of shards as torch takes them, without a copy.

Legend: N fields, R rows of one shard or of a part of it.
"""
# ruff: noqa: N815

from typing import NamedTuple, Self

import pyarrow as pa
import torch
from torch.utils.dlpack import from_dlpack


class Columns(NamedTuple):
    """Consecutive rows as they are stored."""

    ids_RN: torch.Tensor
    """int32, local to the field."""
    label_R: torch.Tensor
    """uint8, 0 or 1."""

    @classmethod
    def of_shard(cls, shard: pa.RecordBatch) -> Self:
        """All rows of a mapped shard."""
        ids, label = shard.columns
        return cls(from_dlpack(ids.values).view(-1, ids.type.list_size), from_dlpack(label))

    def slice(self, start: int, end: int) -> "Columns":
        """Rows start..end, without a copy."""
        return Columns(self.ids_RN[start:end], self.label_R[start:end])

    def gather(self, rows: torch.Tensor) -> "Columns":
        """The rows of those numbers, copied."""
        return Columns(self.ids_RN.index_select(0, rows), self.label_R.index_select(0, rows))


def joined(parts: list[Columns]) -> Columns:
    """Parts one after the other; one part alone is not copied."""
    if len(parts) == 1:
        return parts[0]
    return Columns(torch.cat([part.ids_RN for part in parts]), torch.cat([part.label_R for part in parts]))
