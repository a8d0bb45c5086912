"""Chunks of rows on disk: every column encoded by the chunk's own dictionary.

Legend: B rows of a chunk.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recscale.data.encoding import MISSING
from recscale.data.rejects import Reject

CODE_TYPES = (np.uint8, np.uint16, np.int32)


@dataclass(frozen=True)
class Chunk:
    """Consecutive usable rows on disk: label uint8, split uint8, then one dictionary column per field."""

    path: Path
    """Uncompressed Arrow file, opened by memory map."""
    start: int
    """Number of its first row among all usable rows."""
    rows: int
    """Rows in it."""

    def open(self) -> pa.RecordBatch:
        """The rows, without a copy; they are mapped, and count as memory, while the batch or a part of it is held."""
        return pa.ipc.open_file(pa.memory_map(str(self.path))).get_batch(0)


@dataclass(frozen=True)
class Written:
    """A chunk on disk, before it is known where it starts."""

    path: Path
    """As of Chunk."""
    rows: int
    """As of Chunk."""
    positives: int
    """Rows labelled 1."""


@dataclass(frozen=True)
class Read:
    """What came of a piece of the source."""

    written: Written | None
    """A chunk of its usable rows."""
    rejects: list[Reject] = field(default_factory=list)
    """The first of its rows that cannot be used."""
    refused: int = 0
    """All that cannot be used."""


def code_type(values: int) -> np.dtype:
    """The narrowest type of codes that tells so many values apart."""
    return next(np.dtype(kind) for kind in CODE_TYPES if values <= np.iinfo(kind).max + 1)


def write_chunk(path: Path, label: pa.Array, split: pa.Array, columns: list[pa.DictionaryArray]) -> Written:
    """Writes labels uint8 [B], splits uint8 [B] and encoded columns [B]."""
    whole = pa.record_batch([label, split, *columns], names=["label", "split", *map("f{}".format, range(len(columns)))])
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, whole.schema) as sink:
        sink.write_batch(whole)
    return Written(path, len(label), pc.sum(label).as_py())


def write_table(path: Path, num_fields: int, table: pa.Table) -> Written:
    """Encodes and writes rows as DuckDB gives them: label, split, f0, f1 and so on; nothing where there are none."""
    if not len(table):
        return Written(path, 0, 0)
    columns = [table.column(f"f{index}") for index in range(num_fields)]
    label, split = (table.column(name).combine_chunks() for name in ("label", "split"))
    return write_chunk(path, label, split, list(map(_encoded, columns)))


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """A column by its distinct values, NULL as '' or NaN (which may stand there twice then), in the narrowest codes."""
    chunks = pc.dictionary_encode(column, null_encoding="encode").chunks
    values = chunks[-1].dictionary
    kind = pa.from_numpy_dtype(code_type(len(values)))
    codes = pa.concat_arrays([pc.cast(chunk.indices, kind, safe=False) for chunk in chunks])
    if values.null_count:
        values = pc.fill_null(values, float("nan") if pa.types.is_floating(values.type) else MISSING)
    return pa.DictionaryArray.from_arrays(codes, values, safe=False)
