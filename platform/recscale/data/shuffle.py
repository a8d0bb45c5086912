"""Puts encoded rows in their final order: scatter into buckets, which spill to disk where they grow, then sort each.

Legend: B rows of a chunk, R rows of a bucket, N fields.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BUCKET_CELLS = 6_000_000
BUCKET_ROWS_MAX = 1_000_000
HELD_BYTES = 1 << 28
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
    """Takes rows with their final place in any order, gives them back in that order.

    Holds HELD_BYTES of rows and one bucket in memory; more rows lie in `folder`.
    """

    def __init__(self, folder: Path, rows: int, vocabulary_sizes: Sequence[int]) -> None:
        self.folder = folder
        self.rows = rows
        self.num_fields = len(vocabulary_sizes)
        self.row_type = _row_type(vocabulary_sizes)
        self.bucket_rows = max(1, min(BUCKET_ROWS_MAX, BUCKET_CELLS // (self.num_fields + 2)))
        self._bucket_type = id_type(rows // self.bucket_rows + 1)
        self._held: dict[int, list[np.ndarray]] = {}
        self._held_bytes = 0
        folder.mkdir()

    def pack(self, place_B: np.ndarray, columns: Sequence[np.ndarray], label_B: np.ndarray) -> dict[int, np.ndarray]:
        """Rows by bucket: places int64 [B], each of 0..rows-1 once over all calls; N columns of ids [B].

        Changes nothing, so that several threads may pack.
        """
        if len(place_B) == 0:
            return {}
        bucket_B, rest_B = np.divmod(place_B, self.bucket_rows)
        packed = self._side_by_side([rest_B, label_B, *columns])
        order = np.argsort(bucket_B.astype(self._bucket_type), kind="stable")
        rows = np.take(packed, order)
        buckets, starts = np.unique(bucket_B[order], return_index=True)
        return dict(zip(buckets.tolist(), np.split(rows, starts[1:]), strict=True))

    def add(self, packed: dict[int, np.ndarray]) -> None:
        """Takes packed rows in, and spills all that are held where they are too many."""
        for bucket, rows in packed.items():
            self._held.setdefault(bucket, []).append(rows)
            self._held_bytes += rows.nbytes
        if self._held_bytes > HELD_BYTES:
            self._spill()

    def ordered(self) -> Iterator[OrderedRows]:
        """All rows by place, one bucket at a time, which the next one overwrites."""
        most = min(self.bucket_rows, self.rows)
        ids_RN, label_R = np.empty((most, self.num_fields), np.int32), np.empty(most, np.uint8)
        for start in range(0, self.rows, self.bucket_rows):
            for part in self._parts(start // self.bucket_rows):
                self._scatter(part, ids_RN, label_R)
            rows = min(self.bucket_rows, self.rows - start)
            yield OrderedRows(start, ids_RN[:rows], label_R[:rows])

    def _parts(self, bucket: int) -> Iterator[np.ndarray]:
        path = self._path(bucket)
        if path.exists():
            yield np.fromfile(path, self.row_type)
            path.unlink()
        yield from self._held.pop(bucket, [])

    def _spill(self) -> None:
        for bucket, parts in self._held.items():
            with self._path(bucket).open("ab") as file:
                for rows in parts:
                    rows.tofile(file)
        self._held, self._held_bytes = {}, 0

    def _path(self, bucket: int) -> Path:
        return self.folder / f"{bucket:06d}.bin"

    def _side_by_side(self, columns: Sequence[np.ndarray]) -> np.ndarray:
        """Columns [B] as packed rows [B], a block of rows that fits the processor's cache at a time."""
        assert self.row_type.names is not None
        packed = np.empty(len(columns[0]), self.row_type)
        fields = [packed[name] for name in self.row_type.names]
        for start in range(0, len(packed), CACHED_ROWS):
            block = slice(start, start + CACHED_ROWS)
            for field, column in zip(fields, columns, strict=True):
                field[block] = column[block]
        return packed

    def _scatter(self, part: np.ndarray, ids_RN: np.ndarray, label_R: np.ndarray) -> None:
        """Puts packed rows where they belong in their bucket."""
        assert self.row_type.names is not None
        label_R[part["place"]] = part["label"]
        fields = [part[name] for name in self.row_type.names[2:]]
        block_ids = np.empty((CACHED_ROWS, self.num_fields), np.int32)
        for start in range(0, len(part), CACHED_ROWS):
            place_C = part["place"][start : start + CACHED_ROWS]
            for index, field in enumerate(fields):
                block_ids[: len(place_C), index] = field[start : start + CACHED_ROWS]
            ids_RN[place_C] = block_ids[: len(place_C)]


def id_type(vocabulary_size: int) -> np.dtype:
    """The narrowest type that holds all ids of a field."""
    return next(np.dtype(kind) for kind in (np.uint8, np.uint16, np.int32) if vocabulary_size - 1 <= np.iinfo(kind).max)


def _row_type(vocabulary_sizes: Sequence[int]) -> np.dtype:
    """A row as it lies in a bucket: its place in the bucket, its label, its ids."""
    ids = [(f"f{index}", id_type(size)) for index, size in enumerate(vocabulary_sizes)]
    return np.dtype([("place", np.int32), ("label", np.uint8), *ids])
