"""Tab-separated text to chunks, block by block: encoded as it is read, or by DuckDB where not every line is plain."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from recscale.data.ahead import mapped_ahead, threads
from recscale.data.chunks import Read, write_chunk, write_table
from recscale.data.lines import NEWLINE, Blocks, LineEncoder
from recscale.data.refusals import reading
from recscale.data.rejects import csv_rejects
from recscale.data.sources.scan import Part, Scan, query


class BlockStager:
    """Writes the chunks of a part with `lines`, which threads encode while it is read on."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, scan: Scan, part: Part) -> None:
        self._connection = connection
        self._scan = scan
        self._part = part
        self._blocks = Blocks()
        self._free = [LineEncoder([column.kind for column in scan.columns]) for _ in range(threads())]

    def stage(self, paths: Iterator[Path]) -> Iterator[Read]:
        """One chunk at each of the paths, in the order of the part."""
        before = 0
        given = zip(paths, self._blocks.of(self._part.file), strict=False)
        for read, lines in mapped_ahead(self._stage_block, given, threads()):
            placed = [replace(reject, file=str(self._part.file), row=reject.row + before) for reject in read.rejects]
            before += lines
            yield replace(read, rejects=placed)

    def _stage_block(self, given: tuple[Path, np.ndarray]) -> tuple[Read, int]:
        """What came of a block, its rejects by their number in it, and how many lines it has."""
        path, text_T = given
        encoder = self._free.pop()
        try:
            encoded = encoder.encode(text_T)
            if encoded is None:
                return self._by_duckdb(path, text_T), int(np.count_nonzero(text_T == NEWLINE))
            label, columns = encoded
            return Read(write_chunk(path, label, pa.nulls(len(label), pa.uint8()), columns)), len(label)
        finally:
            self._free.append(encoder)
            self._blocks.give_back(text_T)

    def _by_duckdb(self, path: Path, text_T: np.ndarray) -> Read:
        """From a file that holds no more than the block."""
        assert self._part.lines is not None
        file = path.with_suffix(".txt")
        text_T.tofile(file)
        piece = self._part.lines(file)
        with reading(str(self._part.file)), self._connection.cursor() as connection:
            rows = connection.sql(query(self._scan, piece)).to_arrow_table()
            written = write_table(path, len(self._scan.columns), rows)
            rejects, refused = csv_rejects(connection, piece)
        file.unlink()
        return Read(written, rejects, refused)
