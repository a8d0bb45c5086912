"""One pass over the source: usable rows go to disk in chunks, every column encoded by the chunk's own dictionary.

Everything after this pass works on the few distinct values of a chunk, and touches rows only as integer codes.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recscale.data.ahead import mapped_ahead, threads
from recscale.data.block_staging import BlockStager
from recscale.data.chunks import Chunk, Read, write_table
from recscale.data.progress import Progress
from recscale.data.refusals import reading
from recscale.data.rejects import SAMPLE_ROWS, Reject, Rejects, csv_rejects, merged
from recscale.data.sources.scan import Part, Scan, query
from recscale.errors import DataError

CHUNK_CELLS = 8_000_000
"""Values of a chunk: few chunks are merged faster, small ones held by several threads take less memory."""
CHUNK_ROWS_MAX = 1_000_000


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

    def add(self, read: Read) -> None:
        """Takes in what comes next; a chunk without rows is none."""
        if read.written is not None and read.written.rows:
            self.chunks.append(Chunk(read.written.path, self.rows, read.written.rows))
            self.rows += read.written.rows
            self.positives += read.written.positives
        self.rejects.add(read.rejects, read.refused)


def stage(connection: duckdb.DuckDBPyConnection, scan: Scan, folder: Path) -> Staged:
    """Reads every part once into `folder`; DataError where a file cannot be read or nothing is in it."""
    staged = Staged()
    folder.mkdir(parents=True)
    paths = (folder / f"{number:06d}.arrow" for number in itertools.count())
    with Progress("reading", "row") as progress:
        for part in scan.parts:
            before = staged.rows_read
            with reading(str(part.file)):
                for read in _read(connection, scan, part, paths):
                    staged.add(read)
                    progress.advance(read.written.rows if read.written is not None else 0)
            if staged.rows_read == before:
                raise DataError(f"{part.file} has no rows; expected at least one")
    return staged


def _read(connection: duckdb.DuckDBPyConnection, scan: Scan, part: Part, paths: Iterator[Path]) -> Iterator[Read]:
    """A part in order; chunks are encoded and written by threads while it is read on."""
    if part.lines is not None:
        yield from BlockStager(connection, scan, part).stage(paths)
        return
    problems = _Problems(str(part.file), part.header_lines)
    chunk_rows = max(1, min(CHUNK_ROWS_MAX, CHUNK_CELLS // (len(scan.columns) + 2)))
    usable = map(problems.taken_from, connection.sql(query(scan, part)).to_arrow_reader(chunk_rows))

    def written(given: tuple[Path, pa.Table]) -> Read:
        return Read(write_table(given[0], len(scan.columns), given[1]))

    yield from mapped_ahead(written, zip(paths, _gathered(usable, chunk_rows), strict=False), threads())
    lines, refused = csv_rejects(connection, part)
    yield Read(None, merged(lines, problems.first), refused + problems.count)


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
