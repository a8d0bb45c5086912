"""Reads a split: memory-mapped shards as torch batches, in order or in a seeded order that can be resumed.

Legend: B rows of one batch, N fields, R rows of one shard, W rows of one window.
"""
# ruff: noqa: N815

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import torch

from recscale.data.columns import Columns, joined
from recscale.data.manifest import SplitInfo
from recscale.data.order import RowOrder, Window
from recscale.data.residence import held_bytes


class Batch(NamedTuple):
    """Rows as a model takes them; a batch of `in_order` may be a view of the file, so never write into one."""

    ids_BN: torch.Tensor
    """int32, local to the field."""
    label_B: torch.Tensor
    """float32, 0 or 1."""


Take = Callable[[int, int], Columns]
"""Rows start..end of one segment (a shard or a window), in the order in which they are to be read."""


class Split:
    """train, valid or test, memory-mapped on the CPU."""

    def __init__(self, info: SplitInfo, shards: tuple[Columns, ...]) -> None:
        self.info = info
        self.shards = shards
        self._shard_rows = tuple(shard.rows for shard in info.shards)

    @classmethod
    def of_shards(cls, info: SplitInfo, shards: Sequence[pa.RecordBatch]) -> Self:
        """The split of those mapped shards."""
        return cls(info, tuple(Columns.of_shard(shard) for shard in shards))

    @property
    def rows(self) -> int:
        """Rows in all."""
        return self.info.rows

    @property
    def positives(self) -> int:
        """Rows labelled 1."""
        return self.info.positives

    def labels(self) -> np.ndarray:
        """Every label, uint8 [rows], in the order of `in_order`."""
        return np.concatenate([shard.label_R.cpu().numpy() for shard in self.shards])

    def batches(self, batch_size: int) -> int:
        """Batches of one pass; the last may be smaller."""
        return -(-self.rows // batch_size)

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Every row once, as stored."""
        return _cut(self._shard_rows, lambda number: self.shards[number].slice, batch_size, start_batch=0)

    def epoch(self, batch_size: int, seed: int, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        """Every row once, in an order that only (seed, epoch) decide; starts at batch `start_batch` of it."""
        order = RowOrder(self._shard_rows, seed, epoch)
        return _cut(order.window_rows, lambda number: self._shuffled(order, number), batch_size, start_batch)

    def first(self, rows: int) -> "Split":
        """The first `rows` rows as a split of its own; preparation shuffled them, so they are a random sample."""
        starts = np.cumsum([0, *self._shard_rows[:-1]]).tolist()
        kept = [
            (info, shard.slice(0, min(info.rows, rows - start)))
            for info, shard, start in zip(self.info.shards, self.shards, starts, strict=True)
            if start < rows
        ]
        infos = [replace(info, rows=len(part.label_R), positives=int(part.label_R.sum())) for info, part in kept]
        return Split(replace(self.info, shards=tuple(infos)), tuple(part for _, part in kept))

    def resident(self, device: torch.device) -> "Split":
        """The same rows and orders on `device`: held there where they fit in half its free memory, else streamed.

        On the CPU, the split itself.
        """
        if device.type == "cpu":
            return self
        num_bytes = sum(column.nbytes for shard in self.shards for column in shard)
        if device.type == "cuda" and held_bytes([num_bytes], _free_bytes(device)):
            return ResidentSplit.load(self, device)
        return StreamedSplit(self.info, self.shards, device)

    def _shuffled(self, order: RowOrder, number: int) -> Take:
        window = self._window(order.windows[number])
        rows_W = torch.from_numpy(order.permutation(number))
        return lambda start, end: window.gather(rows_W[start:end])

    def _window(self, window: Window) -> Columns:
        """The window's blocks one after the other: a sequential read of each."""
        parts = [self.shards[block.shard].slice(block.start, block.end) for block in window]
        return joined(parts)


def _free_bytes(device: torch.device) -> int:
    """Free memory of a GPU, or what this process may still take of it."""
    free, total = torch.cuda.mem_get_info(device)
    allowed = int(total * torch.cuda.get_per_process_memory_fraction(device))
    return min(free, allowed - torch.cuda.memory_reserved(device))


class ResidentSplit(Split):
    """A split held on a device as one segment; orders are gathered there."""

    def __init__(self, info: SplitInfo, columns: Columns) -> None:
        ends = np.cumsum([shard.rows for shard in info.shards]).tolist()
        starts = [0, *ends[:-1]]
        super().__init__(info, tuple(columns.slice(start, end) for start, end in zip(starts, ends, strict=True)))
        self._columns = columns
        self._shard_starts = starts

    @classmethod
    def load(cls, split: Split, device: torch.device) -> Self:
        """Copies a split's shards to the device, one after the other."""
        first = split.shards[0]
        ids_RN = torch.empty((split.rows, first.ids_RN.shape[1]), dtype=torch.int32, device=device)
        label_R = torch.empty(split.rows, dtype=torch.uint8, device=device)
        loaded = cls(split.info, Columns(ids_RN, label_R))
        for target, source in zip(loaded.shards, split.shards, strict=True):
            target.ids_RN.copy_(source.ids_RN)
            target.label_R.copy_(source.label_R)
        return loaded

    def resident(self, device: torch.device) -> Split:
        """Itself: it is where it was loaded."""
        return self

    def _shuffled(self, order: RowOrder, number: int) -> Take:
        starts = [self._shard_starts[block.shard] for block in order.windows[number]]
        spans = [
            np.arange(start + block.start, start + block.end)
            for start, block in zip(starts, order.windows[number], strict=True)
        ]
        rows_W = torch.from_numpy(np.concatenate(spans)[order.permutation(number)]).to(self._columns.ids_RN.device)
        return lambda start, end: self._columns.gather(rows_W[start:end])


class StreamedSplit(Split):
    """A split too large for the device: batches are gathered on the host, pinned, and copied one ahead of their use."""

    def __init__(self, info: SplitInfo, shards: tuple[Columns, ...], device: torch.device) -> None:
        super().__init__(info, shards)
        self.device = device

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Every row once, as stored, on the device."""
        return self._ahead(super().in_order(batch_size))

    def epoch(self, batch_size: int, seed: int, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        """Every row once, in an order that only (seed, epoch) decide, on the device."""
        return self._ahead(super().epoch(batch_size, seed, epoch, start_batch))

    def _ahead(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        held: Batch | None = None
        for batch in batches:
            copied = Batch(self._sent(batch.ids_BN), self._sent(batch.label_B))
            if held is not None:
                yield held
            held = copied
        if held is not None:
            yield held

    def _sent(self, column: torch.Tensor) -> torch.Tensor:
        pinned = column.pin_memory() if self.device.type == "cuda" else column
        return pinned.to(self.device, non_blocking=True)


def _cut(
    segment_rows: tuple[int, ...], open_segment: Callable[[int], Take], batch_size: int, start_batch: int
) -> Iterator[Batch]:
    """Cuts segments, read one after the other, into batches; segments before `start_batch` are never opened."""
    skip = start_batch * batch_size
    parts: list[Columns] = []
    missing = batch_size
    for number, rows in enumerate(segment_rows):
        if skip >= rows:
            skip -= rows
            continue
        take = open_segment(number)
        position, skip = skip, 0
        while position < rows:
            end = min(position + missing, rows)
            parts.append(take(position, end))
            missing -= end - position
            position = end
            if missing == 0:
                yield _batch(parts)
                parts, missing = [], batch_size
        del take  # and with it this window, before the next one is read
    if parts:
        yield _batch(parts)


def _batch(parts: list[Columns]) -> Batch:
    columns = joined(parts)
    return Batch(columns.ids_RN, columns.label_R.float())
