"""Raw click logs to a prepared dataset, out of core: stage, place, count, encode, shuffle, write.

DuckDB parses the text and counts the values under a memory limit; rows pass through as integer codes in chunks.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recscale.data.ahead import mapped_ahead, threads
from recscale.data.chunks import Chunk
from recscale.data.counting import count_chunks
from recscale.data.manifest import SPLIT_NAMES, Manifest, SourceInfo
from recscale.data.options import Duplicates, PrepareOptions, as_text
from recscale.data.placement import Placement, kept_rows, place_at_random, place_by_source, places, repeated_rows
from recscale.data.progress import Progress
from recscale.data.refusals import reading
from recscale.data.shuffle import OrderedRows, Shuffler, id_type
from recscale.data.sources.scan import Scan, Source
from recscale.data.staging import Staged, stage
from recscale.data.vocabulary import Vocabulary, VocabularyBuilder
from recscale.data.writer import SPILL_NAME, DatasetWriter
from recscale.errors import DataError

READ_AHEAD = "32MB"
"""Parsed rows that DuckDB holds ready, so that it reads on while we encode."""


def prepare(source: Source, dest: Path, options: PrepareOptions) -> Manifest:
    """Writes the dataset `dest` from a raw source; the same source and options give the same fingerprint.

    Raises DataError, in one line, where the source cannot be used or the destination cannot be written; then and on
    interruption nothing is left behind.
    """
    with DatasetWriter(dest) as writer, _workspace(writer.folder / SPILL_NAME, options) as connection:
        spill = writer.folder / SPILL_NAME
        with reading(f"{source.format} source"):
            scan = source.scan(connection)
        staged = stage(connection, scan, spill / "chunks")
        staged.rejects.check(staged.rows_read, options.max_bad_rows)
        _check_labels(scan, staged)
        if staged.rejects.count:
            writer.write_rejected(staged.rejects.table())
        placement = _place(connection, scan, staged, options, spill)
        min_count = source.default_min_count if options.min_count is None else options.min_count
        count_chunks(staged, placement, options.vocabulary_from)
        vocabularies = _vocabularies(VocabularyBuilder(connection, staged, placement, options, min_count), scan)
        _write_rows(writer, staged, placement, vocabularies, spill / "buckets")
        for index, vocabulary in enumerate(vocabularies):
            writer.write_vocabulary(vocabulary.info.name, index, vocabulary.values, vocabulary.counts)
        return writer.finish(
            tuple(vocabulary.info for vocabulary in vocabularies),
            _source_info(source, scan, staged, placement),
            {**as_text(source), **as_text(options), "min_count": str(min_count)},
            None,
        )


@contextmanager
def _workspace(spill: Path, options: PrepareOptions) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection that spills into the writer's folder; the system's refusals become one DataError."""
    try:
        (spill / "duckdb").mkdir(parents=True)
        config: dict[str, Any] = {"memory_limit": options.database_memory, "temp_directory": str(spill / "duckdb")}
        with reading("DuckDB"):
            connection = duckdb.connect(config=config)
        with connection:
            connection.sql("SET enable_progress_bar = false")
            connection.sql(f"SET streaming_buffer_size = '{READ_AHEAD}'")
            yield connection
    except OSError as error:
        raise DataError(
            f"cannot write in {spill.parent.parent}: {error.strerror or error}; nothing was kept: "
            f"free space there or choose a folder that can be written"
        ) from error


def _place(
    connection: duckdb.DuckDBPyConnection, scan: Scan, staged: Staged, options: PrepareOptions, spill: Path
) -> Placement:
    repeated = repeated_rows(connection, staged, spill) if options.duplicates is Duplicates.DROP else None
    if scan.presplit:
        return place_by_source(staged, options.seed, repeated)
    return place_at_random(staged, options.split_fractions, options.seed, repeated)


def _check_labels(scan: Scan, staged: Staged) -> None:
    """DataError where all rows have the same label."""
    if staged.positives in (0, staged.rows):
        raise DataError(
            f"{scan.parts[0].file}: all {staged.rows} usable rows have the label {int(staged.positives > 0)}; "
            f"expected both 0 and 1: check the label's column, and --positive or --threshold where there is one"
        )


def _vocabularies(builder: VocabularyBuilder, scan: Scan) -> list[Vocabulary]:
    with Progress("numbering", "field", len(scan.columns)) as progress:
        vocabularies = []
        for vocabulary in mapped_ahead(builder.build, enumerate(scan.columns), threads()):
            vocabularies.append(vocabulary)
            progress.advance(1)
    return vocabularies


def _write_rows(
    writer: DatasetWriter, staged: Staged, placement: Placement, vocabularies: list[Vocabulary], folder: Path
) -> None:
    shuffler = Shuffler(folder, placement.rows, [vocabulary.info.vocabulary_size for vocabulary in vocabularies])
    with Progress("encoding", "row", placement.rows) as progress:
        for packed in mapped_ahead(partial(_packed, shuffler, vocabularies), staged.chunks, threads()):
            shuffler.add(packed)
            progress.advance(sum(map(len, packed.values())))
    with Progress("writing", "row", placement.rows) as progress:
        for split, rows in _by_split(shuffler.ordered(), placement):
            writer.write_rows(split, rows.ids, rows.labels)
            progress.advance(len(rows.labels))


def _packed(shuffler: Shuffler, vocabularies: list[Vocabulary], chunk: Chunk) -> dict[int, np.ndarray]:
    """The kept rows of a chunk, encoded, by bucket of the shuffler."""
    batch, kept = chunk.open(), kept_rows(chunk)
    rows = slice(None) if len(kept) == chunk.rows else kept
    columns = []
    for vocabulary, column in zip(vocabularies, batch.columns[2:], strict=True):
        id_V = vocabulary.ids(column.dictionary).astype(id_type(vocabulary.info.vocabulary_size))
        ids = pc.take(pa.array(id_V), column.indices, boundscheck=False)
        columns.append(ids.to_numpy()[rows])
    return shuffler.pack(places(chunk)[rows], columns, batch.column("label").to_numpy()[rows])


def _by_split(buckets: Iterable[OrderedRows], placement: Placement) -> Iterator[tuple[str, OrderedRows]]:
    """Cuts rows in order where one split ends and the next begins."""
    ends = np.cumsum(placement.split_rows).tolist()
    for rows in buckets:
        for split, first, end in zip(SPLIT_NAMES, [0, *ends], ends, strict=False):
            low, high = max(first - rows.start, 0), min(end - rows.start, len(rows.labels))
            if low < high:
                yield split, OrderedRows(rows.start + low, rows.ids[low:high], rows.labels[low:high])


def _source_info(source: Source, scan: Scan, staged: Staged, placement: Placement) -> SourceInfo:
    return SourceInfo(
        format=source.format,
        files=tuple(part.file.name for part in scan.parts),
        rows=staged.rows_read,
        rejected_rows=staged.rejects.count,
        duplicate_rows=placement.duplicate_rows,
    )
