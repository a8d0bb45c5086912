"""One Arrow shard, opened by memory map and handed to torch without a copy.

Legend: N fields, R rows of one shard or of a part of it.
"""
# ruff: noqa: N815

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import torch
from torch.utils.dlpack import from_dlpack

from recscale.data.manifest import ShardInfo, inside
from recscale.data.writer import shard_schema
from recscale.errors import DataError


class Columns(NamedTuple):
    """Consecutive rows as they are stored."""

    ids_RN: torch.Tensor
    """int32, local to the field."""
    label_R: torch.Tensor
    """uint8, 0 or 1."""

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


def open_shard(folder: Path, shard: ShardInfo, num_fields: int) -> Columns:
    """Maps one shard, without a copy; DataError naming it where it is not there, not whole or not the manifest's."""
    path = inside(folder, shard.path)
    try:
        file = pa.ipc.open_file(pa.memory_map(str(path)))
        schema, batches = file.schema, file.num_record_batches
        names = schema.names
        batch = file.get_batch(0) if batches == 1 else None
        if batch is not None:
            batch.validate()
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{path} is missing or truncated: {one_line(error)}; prepare the dataset again") from error
    got = (batch.num_rows if batch is not None else f"{batches} record batches", schema)
    if batch is None or got != (shard.rows, shard_schema(num_fields)):
        raise DataError(
            f"{path} is not the shard in the manifest: it has {got[0]} rows and columns {names}; expected "
            f"{shard.rows} rows of {num_fields} ids and a label in one record batch; prepare the dataset again"
        )
    ids, label = batch.columns
    return Columns(from_dlpack(ids.values).view(-1, num_fields), from_dlpack(label))


def one_line(error: Exception) -> str:
    """An error's text without line breaks."""
    return " ".join(str(error).split())
