"""Where every usable row goes: one number per row, so that train, valid and test follow each other, each shuffled.

Legend: B rows of a chunk. Place p of a row: train is 0..n_train-1, then valid, then test; -1 is a dropped duplicate.
"""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from recscale.data.chunks import Chunk
from recscale.data.manifest import SPLIT_NAMES
from recscale.data.permutation import RowPermutation
from recscale.data.refusals import reading
from recscale.data.staging import Staged
from recscale.errors import DataError

DROPPED = -1


@dataclass(frozen=True)
class Placement:
    """The split and the order of all rows."""

    split_rows: tuple[int, int, int]
    """Rows of train, valid, test."""
    duplicate_rows: int
    """Rows dropped because an earlier row is the same."""

    @property
    def rows(self) -> int:
        """Rows kept."""
        return sum(self.split_rows)


def places(chunk: Chunk) -> np.ndarray:
    """Places of a chunk's rows, int64 [B], by memory map."""
    place_B: np.ndarray = np.load(_places_path(chunk), mmap_mode="r")
    return place_B


def train_rows(chunk: Chunk, placement: Placement) -> np.ndarray:
    """Which rows of a chunk are in train, as ascending int64 numbers."""
    # A dropped row's place is -1, the largest number once unsigned.
    return np.flatnonzero(places(chunk).view(np.uint64) < placement.split_rows[0])


def kept_rows(chunk: Chunk) -> np.ndarray:
    """Which rows of a chunk are in any split, as ascending int64 numbers."""
    return np.flatnonzero(places(chunk) >= 0)


def place_at_random(
    staged: Staged, fractions: tuple[float, float, float], seed: int, duplicates: np.ndarray | None
) -> Placement:
    """One permutation of the kept rows, cut into exact shares; DataError where a split would be empty."""
    kept = staged.rows - (0 if duplicates is None else int(np.count_nonzero(duplicates)))
    valid, test = round(kept * fractions[1]), round(kept * fractions[2])
    _check((kept - valid - test, valid, test))
    permutation = RowPermutation(kept, seed)
    done = 0
    for chunk in staged.chunks:
        keep_B = _kept(chunk, duplicates)
        place_B = np.full(chunk.rows, DROPPED, np.int64)
        number = int(np.count_nonzero(keep_B))
        place_B[keep_B] = permutation(np.arange(done, done + number))
        np.save(_places_path(chunk), place_B)
        done += number
    return Placement((kept - valid - test, valid, test), staged.rows - kept)


def place_by_source(staged: Staged, seed: int, duplicates: np.ndarray | None) -> Placement:
    """The source's own splits, each permuted; DataError where one is empty."""
    rows = np.zeros(3, np.int64)
    for chunk in staged.chunks:
        rows += np.bincount(_splits(chunk)[_kept(chunk, duplicates)], minlength=3)
    _check((int(rows[0]), int(rows[1]), int(rows[2])))
    permutations = [RowPermutation(int(count), seed + number) for number, count in enumerate(rows)]
    first = np.concatenate([[0], np.cumsum(rows)[:-1]])
    done = np.zeros(3, np.int64)
    for chunk in staged.chunks:
        split_B = np.where(_kept(chunk, duplicates), _splits(chunk), len(SPLIT_NAMES))
        place_B = np.full(chunk.rows, DROPPED, np.int64)
        for number in range(len(SPLIT_NAMES)):
            at = np.flatnonzero(split_B == number)
            place_B[at] = first[number] + permutations[number](np.arange(done[number], done[number] + len(at)))
            done[number] += len(at)
        np.save(_places_path(chunk), place_B)
    return Placement((int(rows[0]), int(rows[1]), int(rows[2])), staged.rows - int(rows.sum()))


def repeated_rows(connection: duckdb.DuckDBPyConnection, staged: Staged, spill: Path) -> np.ndarray:
    """Which rows repeat an earlier one, label included: bool [rows], by memory map.

    Rows are compared by the md5 of their length-prefixed values, 128 bits.
    """
    connection.sql("CREATE TABLE row_hashes (number BIGINT, hash UHUGEINT)")
    for chunk in staged.chunks:
        batch = chunk.open().drop_columns(["split"])
        numbered = batch.append_column("number", pa.array(np.arange(chunk.start, chunk.start + chunk.rows)))
        cells = ", ".join(f"length(CAST({column} AS VARCHAR)), {column}" for column in batch.schema.names)
        rows = connection.from_arrow(numbered)
        with reading("looking for duplicate rows"):
            connection.sql(f"INSERT INTO row_hashes SELECT number, md5_number(concat_ws('|', {cells})) FROM rows")
        rows.close()
    repeated = np.lib.format.open_memmap(spill / "repeated.npy", "w+", np.bool_, (staged.rows,))
    repeated[:] = True
    with reading("looking for duplicate rows"):
        first = connection.sql("SELECT min(number) AS number FROM row_hashes GROUP BY hash").to_arrow_reader(1_000_000)
        for batch in first:
            repeated[batch.column(0).to_numpy()] = False
        connection.sql("DROP TABLE row_hashes")
    return repeated


def _places_path(chunk: Chunk) -> Path:
    return chunk.path.with_suffix(".npy")


def _kept(chunk: Chunk, duplicates: np.ndarray | None) -> np.ndarray:
    if duplicates is None:
        return np.ones(chunk.rows, np.bool_)
    return ~duplicates[chunk.start : chunk.start + chunk.rows]


def _splits(chunk: Chunk) -> np.ndarray:
    split_B: np.ndarray = chunk.open().column("split").to_numpy()
    return split_B


def _check(split_rows: tuple[int, int, int]) -> None:
    if min(split_rows) < 1:
        got = dict(zip(SPLIT_NAMES, split_rows, strict=True))
        raise DataError(f"the splits would have {got} rows; expected at least one row in each: give more rows")
