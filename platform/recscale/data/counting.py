"""How often every distinct value of every chunk occurs: counted chunk by chunk on codes, kept beside the chunk.

Legend: B rows of a chunk, V distinct values of one column in a chunk.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from recscale.data.ahead import mapped_ahead, threads
from recscale.data.chunks import Chunk
from recscale.data.options import VocabularyFrom
from recscale.data.placement import Placement, kept_rows, train_rows
from recscale.data.progress import Progress
from recscale.data.staging import Staged

SCHEMA = pa.schema([("train", pa.int32()), ("whole", pa.int32())])


def count_chunks(staged: Staged, placement: Placement, decides: VocabularyFrom) -> None:
    """Counts all columns of all chunks; over rows of valid and test only where they decide too."""
    count = partial(_count_chunk, placement, decides)
    with Progress("counting", "row", staged.rows) as progress:
        for rows in mapped_ahead(count, staged.chunks, threads()):
            progress.advance(rows)


def chunk_counts(chunk: Chunk, index: int) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Values [V] of a chunk's column, and how often each is in train and in all splits (or train again), int32 [V]."""
    counts = pa.ipc.open_file(pa.memory_map(str(_counts_path(chunk)))).get_batch(index)
    return chunk.open().column(f"f{index}").dictionary, counts.column("train"), counts.column("whole")


def _count_chunk(placement: Placement, decides: VocabularyFrom, chunk: Chunk) -> int:
    batch = chunk.open()
    train, kept = train_rows(chunk, placement), kept_rows(chunk)
    with pa.OSFile(str(_counts_path(chunk)), "wb") as file, pa.ipc.new_file(file, SCHEMA) as sink:
        for column in batch.columns[2:]:
            of_train = _occurrences(column, train)
            whole = of_train if decides is VocabularyFrom.TRAIN else _occurrences(column, kept)
            sink.write_batch(pa.record_batch([of_train, whole], schema=SCHEMA))
    return chunk.rows


def _occurrences(column: pa.DictionaryArray, rows: np.ndarray) -> pa.Array:
    code_B = np.take(column.indices.to_numpy(), rows)
    return pa.array(np.bincount(code_B, minlength=len(column.dictionary)).astype(np.int32))


def _counts_path(chunk: Chunk) -> Path:
    return chunk.path.with_suffix(".counts")
