"""One pass over the source: usable rows go to disk in chunks, every column encoded by the chunk's own dictionary.

Everything after this pass works on the few distinct values of a chunk, and touches rows only as integer codes.

Legend: B rows of a chunk, V distinct values of one column in a chunk.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from recscale.data.refusals import reading
from recscale.data.rejects import SAMPLE_ROWS, Reject, Rejects, csv_rejects, merged
from recscale.data.sources.scan import Column, ColumnKind, Part, Scan, split_number
from recscale.errors import DataError

CHUNK_CELLS = 20_000_000
CHUNK_ROWS_MAX = 1_000_000
OPEN_CHUNKS_MAX = 256


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
        """The rows, without a copy."""
        return _open(self.path)


@dataclass
class Staged:
    """The whole source on disk."""

    chunks: list[Chunk] = field(default_factory=list)
    """In reading order."""
    rows: int = 0
    """Usable rows."""
    positives: int = 0
    """Usable rows labelled 1."""
    rejects: Rejects = field(default_factory=Rejects)
    """The others."""

    @property
    def rows_read(self) -> int:
        """Usable rows and rejected ones."""
        return self.rows + self.rejects.count


@lru_cache(maxsize=OPEN_CHUNKS_MAX)
def _open(path: Path) -> pa.RecordBatch:
    return pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)


def stage(connection: duckdb.DuckDBPyConnection, scan: Scan, folder: Path) -> Staged:
    """Reads every part once into `folder`; DataError where a file cannot be read or nothing is in it."""
    staged = Staged()
    folder.mkdir(parents=True)
    with tqdm(desc="reading", unit="row", unit_scale=True, disable=None) as bar:
        for part in scan.parts:
            before = staged.rows_read
            with reading(str(part.file)):
                _stage_part(connection, scan, part, folder, staged, bar)
            if staged.rows_read == before:
                raise DataError(f"{part.file} has no rows; expected at least one")
    return staged


def _stage_part(
    connection: duckdb.DuckDBPyConnection, scan: Scan, part: Part, folder: Path, staged: Staged, bar: tqdm
) -> None:
    seen = part.header_lines
    problems: list[Reject] = []
    unusable = 0
    for batch in _batches(connection, scan, part):
        usable = batch
        if scan.problem is not None:
            bad = pc.is_valid(batch.column("problem"))
            usable = batch.filter(pc.invert(bad))
            unusable += batch.num_rows - usable.num_rows
            problems += _problems(batch.filter(bad).slice(0, SAMPLE_ROWS - len(problems)), bad, str(part.file), seen)
        seen += batch.num_rows
        _write_chunk(usable, len(scan.columns), folder, staged)
        bar.update(batch.num_rows)
    lines, refused = csv_rejects(connection, part)
    staged.rejects.add(merged(lines, problems), refused + unusable)


def _problems(batch: pa.RecordBatch, bad: pa.BooleanArray, file: str, seen: int) -> list[Reject]:
    """The unusable rows of a batch; rows without a number of their own are counted on from `seen`."""
    if "row" in batch.schema.names:
        rows = batch.column("row").to_pylist()
    else:
        rows = (np.flatnonzero(bad.to_numpy(zero_copy_only=False)) + seen + 1).tolist()
    return [
        Reject(file, row, reason, "") for row, reason in zip(rows, batch.column("problem").to_pylist(), strict=False)
    ]


def _batches(connection: duckdb.DuckDBPyConnection, scan: Scan, part: Part) -> Iterator[pa.RecordBatch]:
    split = scan.split or ("NULL" if part.split is None else str(split_number(part.split)))
    selected = [f"{scan.label} AS label", f"CAST({split} AS UTINYINT) AS split"]
    selected += [f"{_cell(column)} AS f{index}" for index, column in enumerate(scan.columns)]
    if scan.problem is not None:
        selected.append(f"{scan.problem} AS problem")
    if scan.row is not None:
        selected.append(f"{scan.row} AS row")
    rows = max(1, min(CHUNK_ROWS_MAX, CHUNK_CELLS // len(selected)))
    query = f"SELECT {', '.join(selected)} FROM {part.relation}"
    yield from connection.sql(query).to_arrow_reader(rows)


def _cell(column: Column) -> str:
    if column.kind is ColumnKind.NUMERIC:
        return f"coalesce({column.sql}, CAST('nan' AS DOUBLE))"
    return f"coalesce({column.sql}, '')"


def _write_chunk(batch: pa.RecordBatch, num_fields: int, folder: Path, staged: Staged) -> None:
    if batch.num_rows == 0:
        return
    columns = [batch.column(f"f{index}") for index in range(num_fields)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        encoded = list(pool.map(pc.dictionary_encode, columns))
    arrays = [batch.column("label"), batch.column("split"), *encoded]
    names = ["label", "split", *(f"f{index}" for index in range(num_fields))]
    whole = pa.record_batch(arrays, names=names)
    path = folder / f"{len(staged.chunks):06d}.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, whole.schema) as sink:
        sink.write_batch(whole)
    staged.chunks.append(Chunk(path, staged.rows, batch.num_rows))
    staged.rows += batch.num_rows
    staged.positives += pc.sum(batch.column("label")).as_py()
