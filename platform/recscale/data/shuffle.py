"""Puts encoded rows in their final order by two sequential passes over the disk: scatter into buckets, then sort each.

Legend: B rows of a chunk, R rows of a bucket, N fields.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BUCKET_CELLS = 40_000_000
BUCKET_ROWS_MAX = 1_000_000
CACHED_ROWS = 2048


@dataclass(frozen=True)
class OrderedRows:
    """Rows that follow each other in the final order."""

    start: int
    """Place of the first."""
    ids: np.ndarray
    """Ids, int32 [R, N]."""
    labels: np.ndarray
    """Labels, uint8 [R]."""


class Shuffler:
    """Takes rows with their final place in any order, gives them back in that order; holds one bucket in memory."""

    def __init__(self, folder: Path, rows: int, num_fields: int) -> None:
        self.folder = folder
        self.rows = rows
        self.columns = num_fields + 2
        self.bucket_rows = max(1, min(BUCKET_ROWS_MAX, BUCKET_CELLS // self.columns))
        folder.mkdir()

    def add(self, place_B: np.ndarray, columns: Sequence[np.ndarray], label_B: np.ndarray) -> None:
        """Spills rows: places int64 [B], each of 0..rows-1 once over all calls; N columns of ids int32 [B]."""
        bucket_B, rest_B = np.divmod(place_B, self.bucket_rows)
        order = np.argsort(bucket_B, kind="stable")
        packed = _side_by_side([np.take(column, order) for column in (rest_B, label_B, *columns)])
        buckets, starts = np.unique(bucket_B[order], return_index=True)
        for bucket, rows in zip(buckets, np.split(packed, starts[1:]), strict=True):
            with self._path(int(bucket)).open("ab") as file:
                rows.tofile(file)

    def ordered(self) -> Iterator[OrderedRows]:
        """All rows by place, one bucket at a time."""
        for start in range(0, self.rows, self.bucket_rows):
            path = self._path(start // self.bucket_rows)
            packed = np.fromfile(path, np.int32).reshape(-1, self.columns)
            path.unlink()
            order = np.empty(len(packed), np.int64)
            order[packed[:, 0]] = np.arange(len(packed))
            yield OrderedRows(start, packed[:, 2:][order], packed[:, 1].astype(np.uint8)[order])

    def _path(self, bucket: int) -> Path:
        return self.folder / f"{bucket:06d}.bin"


def _side_by_side(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Columns [B] as one int32 matrix, a block of rows that fits the processor's cache at a time."""
    rows = len(columns[0])
    packed = np.empty((rows, len(columns)), np.int32)
    for start in range(0, rows, CACHED_ROWS):
        block = packed[start : start + CACHED_ROWS]
        for index, column in enumerate(columns):
            block[:, index] = column[start : start + CACHED_ROWS]
    return packed
