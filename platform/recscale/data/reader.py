"""Reads a dataset folder: memory-mapped shards as torch batches, in order or in a seeded order that can be resumed.

Legend: B rows of one batch, N fields, R rows of one shard, W rows of one window, V vocabulary size of one field.
"""
# ruff: noqa: N815

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from recscale.data.manifest import FieldInfo, Manifest, SplitInfo, inside, read_manifest
from recscale.data.mirror import check_remote, mirrored
from recscale.data.order import RowOrder, Window
from recscale.data.shards import Columns, joined, one_line, open_shard
from recscale.data.writer import file_sha256, vocabulary_path
from recscale.errors import DataError
from recscale.records import DatasetRef
from recscale.storage.location import Location, location
from recscale.storage.remote import RemotePath


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

    @property
    def rows(self) -> int:
        """Rows in all."""
        return self.info.rows

    @property
    def positives(self) -> int:
        """Rows labelled 1."""
        return self.info.positives

    @property
    def base_rate(self) -> float:
        """Share of rows labelled 1."""
        return self.positives / self.rows

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


def held_bytes(splits: Sequence[int], free: int) -> int:
    """Bytes of the splits of these sizes that a device with so much free memory holds: each that fits in half of it."""
    held = 0
    for num_bytes in splits:
        if num_bytes <= (free - held) // 2:
            held += num_bytes
    return held


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


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset whose shards are all there, memory-mapped."""

    path: Path
    """Its folder on this machine, absolute."""
    place: Location
    """Where it was prepared to, and every machine finds it: that folder, or a URI of which the folder is a copy."""
    manifest: Manifest
    """What it holds."""
    splits: tuple[Split, ...]
    """train, valid, test."""

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Maps every shard; DataError naming the file that is missing, truncated or not what the manifest says."""
        place = location(path)
        folder = mirrored(place) if isinstance(place, RemotePath) else Path(path).absolute()
        manifest = read_manifest(folder)
        num_fields = len(manifest.fields)
        splits = tuple(
            Split(info, tuple(open_shard(folder, shard, num_fields) for shard in info.shards))
            for info in manifest.splits
        )
        return cls(folder, place, manifest, splits)

    def ref(self) -> DatasetRef:
        """How a trial names this dataset."""
        return DatasetRef(str(self.place), self.manifest.fingerprint)

    def split(self, name: str) -> Split:
        """The split of that name; DataError where there is none."""
        return self.splits[self.manifest.splits.index(self.manifest.split(name))]

    def check_rows(self) -> None:
        """Reads every row once; DataError naming the shard whose ids or labels no model of this dataset could take."""
        size_N = np.array(self.manifest.vocabulary_sizes)
        for split in self.splits:
            for info, shard in zip(split.info.shards, split.shards, strict=True):
                ids_RN = shard.ids_RN.numpy()
                if (ids_RN.min(0) < 0).any() or (ids_RN.max(0) >= size_N).any() or shard.label_R.max() > 1:
                    raise DataError(
                        f"{self.path / info.path} holds ids outside the manifest's vocabularies, or labels other than "
                        f"0 and 1: it is not what was prepared; prepare the dataset again"
                    )

    def counts(self) -> list[np.ndarray]:
        """Per field, how often each id occurs in the train split: int64 [vocabulary_size]."""
        return [self._counts(index, field) for index, field in enumerate(self.manifest.fields)]

    def verify(self) -> None:
        """Hashes every shard again and reads every vocabulary; DataError naming the first file that was changed."""
        for split in self.manifest.splits:
            for shard in split.shards:
                path = inside(self.path, shard.path)
                if not path.is_file() or file_sha256(path) != shard.sha256:
                    raise DataError(
                        f"{path} does not match its checksum in the manifest: it was changed; prepare again"
                    )
        self.counts()
        if isinstance(self.place, RemotePath):
            check_remote(self.place, self.manifest)

    def _counts(self, index: int, field: FieldInfo) -> np.ndarray:
        path = vocabulary_path(self.path, index, field.name)
        try:
            column = pq.read_table(path, columns=["count"], page_checksum_verification=True).column("count")
        except (OSError, pa.ArrowException, UnicodeDecodeError, KeyError) as error:
            raise DataError(f"{path} cannot be read as a vocabulary: {one_line(error)}; prepare again") from error
        count_V: np.ndarray = column.to_numpy()
        expected = (field.vocabulary_size, self.manifest.split("train").rows)
        if (len(count_V), int(count_V.sum())) != expected:
            raise DataError(
                f"{path} has {len(count_V)} ids counted {count_V.sum()} times in all; "
                f"expected {expected[0]} ids and {expected[1]} train rows: prepare again"
            )
        return count_V


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
