"""One pass over the source: usable rows go to disk in chunks, every column encoded by the chunk's own dictionary.

Everything after this pass works on the few distinct values of a chunk, and touches rows only as integer codes.

Legend: B rows of a chunk, V distinct values of one column in a chunk.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recscale.data.ahead import mapped_ahead, threads
from recscale.data.encoding import MISSING
from recscale.data.progress import Progress
from recscale.data.refusals import reading
from recscale.data.rejects import SAMPLE_ROWS, Reject, Rejects, csv_rejects, merged
from recscale.data.sources.scan import Part, Scan, split_number
from recscale.errors import DataError

CHUNK_CELLS = 8_000_000
"""Values of a chunk: few chunks are merged faster, small ones held by several threads take less memory."""
CHUNK_ROWS_MAX = 1_000_000
CODE_TYPES = ((pa.uint8(), 1 << 8), (pa.uint16(), 1 << 16), (pa.int32(), 1 << 31))
"""Types of codes with the number of values that each can tell apart."""


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


def stage(connection: duckdb.DuckDBPyConnection, scan: Scan, folder: Path) -> Staged:
    """Reads every part once into `folder`; DataError where a file cannot be read or nothing is in it."""
    staged = Staged()
    folder.mkdir(parents=True)
    with Progress("reading", "row") as progress:
        for part in scan.parts:
            before = staged.rows_read
            with reading(str(part.file)):
                _stage_part(connection, scan, part, folder, staged, progress)
            if staged.rows_read == before:
                raise DataError(f"{part.file} has no rows; expected at least one")
    return staged


def _stage_part(
    connection: duckdb.DuckDBPyConnection, scan: Scan, part: Part, folder: Path, staged: Staged, progress: Progress
) -> None:
    """Chunks are encoded and written by threads while DuckDB reads on."""
    problems = _Problems(str(part.file), part.header_lines)
    chunk_rows = max(1, min(CHUNK_ROWS_MAX, CHUNK_CELLS // (len(scan.columns) + 2)))
    usable = map(problems.taken_from, _batches(connection, scan, part, chunk_rows))
    numbered = enumerate(_gathered(usable, chunk_rows), start=len(staged.chunks))
    for path, rows, positives in mapped_ahead(partial(_write_chunk, folder, len(scan.columns)), numbered, threads()):
        staged.chunks.append(Chunk(path, staged.rows, rows))
        staged.rows += rows
        staged.positives += positives
        progress.advance(rows)
    lines, refused = csv_rejects(connection, part)
    staged.rejects.add(merged(lines, problems.first), refused + problems.count)


class _Problems:
    """Collects the unusable rows of one part; rows without a number of their own are counted on."""

    def __init__(self, file: str, header_lines: int) -> None:
        self.file = file
        self.seen = header_lines
        self.first: list[Reject] = []
        self.count = 0

    def taken_from(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The usable rows of a batch."""
        if "problem" not in batch.schema.names or batch.column("problem").null_count == batch.num_rows:
            self.seen += batch.num_rows
            return batch
        bad = pc.is_valid(batch.column("problem"))
        usable = batch.filter(pc.invert(bad))
        self.count += batch.num_rows - usable.num_rows
        self.first += self._rejects(batch.filter(bad).slice(0, SAMPLE_ROWS - len(self.first)), bad)
        self.seen += batch.num_rows
        return usable

    def _rejects(self, unusable: pa.RecordBatch, bad: pa.BooleanArray) -> list[Reject]:
        if "row" in unusable.schema.names:
            rows = unusable.column("row").to_pylist()
        else:
            rows = (np.flatnonzero(bad.to_numpy(zero_copy_only=False)) + self.seen + 1).tolist()
        reasons = unusable.column("problem").to_pylist()
        return [Reject(self.file, row, reason, "") for row, reason in zip(rows, reasons, strict=False)]


def _batches(connection: duckdb.DuckDBPyConnection, scan: Scan, part: Part, rows: int) -> Iterator[pa.RecordBatch]:
    split = scan.split or ("NULL" if part.split is None else str(split_number(part.split)))
    selected = [f"{scan.label} AS label", f"CAST({split} AS UTINYINT) AS split"]
    selected += [f"{column.sql} AS f{index}" for index, column in enumerate(scan.columns)]
    if scan.problem is not None:
        selected.append(f"{scan.problem} AS problem")
    if scan.row is not None:
        selected.append(f"{scan.row} AS row")
    query = f"SELECT {', '.join(selected)} FROM {part.relation}"
    yield from connection.sql(query).to_arrow_reader(rows)


def _gathered(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Batches side by side until they hold `rows` rows; DuckDB's own end where its buffers of text do."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(part.num_rows for part in held) >= rows:
            yield pa.Table.from_batches(held)
            held = []
    if sum(part.num_rows for part in held):
        yield pa.Table.from_batches(held)


def _write_chunk(folder: Path, num_fields: int, numbered: tuple[int, pa.Table]) -> tuple[Path, int, int]:
    """Writes one chunk; its path, its rows, and how many of them are labelled 1."""
    number, table = numbered
    columns = [table.column(f"f{index}") for index in range(num_fields)]
    plain = [table.column(name).combine_chunks() for name in ("label", "split")]
    arrays = [*plain, *map(_encoded, columns)]
    names = ["label", "split", *(f"f{index}" for index in range(num_fields))]
    whole = pa.record_batch(arrays, names=names)
    path = folder / f"{number:06d}.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, whole.schema) as sink:
        sink.write_batch(whole)
    return path, table.num_rows, pc.sum(plain[0]).as_py()


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """A column by its distinct values, NULL as '' or NaN (which may stand there twice then), in the narrowest codes."""
    chunks = pc.dictionary_encode(column, null_encoding="encode").chunks
    values = chunks[-1].dictionary
    kind = next(kind for kind, most in CODE_TYPES if len(values) <= most)
    codes = pa.concat_arrays([pc.cast(chunk.indices, kind, safe=False) for chunk in chunks])
    if values.null_count:
        values = pc.fill_null(values, float("nan") if pa.types.is_floating(values.type) else MISSING)
    return pa.DictionaryArray.from_arrays(codes, values, safe=False)
