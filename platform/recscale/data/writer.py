"""Writes a dataset folder: Arrow shards, vocabularies, and the manifest last, so that half a dataset never appears.

Legend: B rows of one call, N fields, V vocabulary size of one field.
"""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recscale.data.manifest import (
    MANIFEST_NAME,
    SPLIT_NAMES,
    BayesCeiling,
    FieldInfo,
    Manifest,
    ShardInfo,
    SourceInfo,
    SplitInfo,
    sealed,
    write_manifest,
)
from recscale.errors import DataError

SHARD_ROWS = 250_000
"""A shard is written while the next one fills, and few fields make it small: 39 of them 40 MB."""
REJECTED_NAME = "rejected.parquet"
SPILL_NAME = "spill"
VOCABULARY_FOLDER = "vocabulary"
SAFE_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def shard_schema(num_fields: int) -> pa.Schema:
    """Columns of a shard: `ids`, a fixed-size list of int32 [N], and `label`, uint8; neither has nulls."""
    ids = pa.list_(pa.field("item", pa.int32(), nullable=False), num_fields)
    return pa.schema([pa.field("ids", ids, nullable=False), pa.field("label", pa.uint8(), nullable=False)])


def vocabulary_path(folder: Path, index: int, name: str) -> Path:
    """Where the vocabulary of the field in column `index` lies; a name unfit for a file is sanitised and numbered."""
    if SAFE_FILE_NAME.fullmatch(name):
        return folder / VOCABULARY_FOLDER / f"{name}.parquet"
    return folder / VOCABULARY_FOLDER / f"_{index:03d}_{re.sub('[^A-Za-z0-9]', '_', name)[:90]}.parquet"


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class SplitWriter:
    """Fills one shard's buffer after the other and has each written when full; holds at most two in memory."""

    def __init__(self, folder: Path, name: str, shard_rows: int, disk: Executor) -> None:
        self.folder = folder
        self.name = name
        self.shard_rows = shard_rows
        self.filled = 0
        self.ids_RN: np.ndarray | None = None
        self.label_R = np.empty(0, np.uint8)
        self.id_max_N: np.ndarray | None = None
        self._disk = disk
        self._writing: Future[ShardInfo] | None = None
        self._spare: tuple[np.ndarray, np.ndarray] | None = None
        self._shards: list[ShardInfo] = []

    def add(self, ids_BN: np.ndarray, label_B: np.ndarray) -> None:
        """Takes rows in; their order is kept."""
        if self.ids_RN is None:
            self.ids_RN = np.empty((self.shard_rows, ids_BN.shape[1]), np.int32)
            self.label_R = np.empty(self.shard_rows, np.uint8)
            self.id_max_N = np.zeros(ids_BN.shape[1], np.int64)
        self._check(ids_BN, label_B)
        done = 0
        while done < len(label_B):
            step = min(self.shard_rows - self.filled, len(label_B) - done)
            self.ids_RN[self.filled : self.filled + step] = ids_BN[done : done + step]
            self.label_R[self.filled : self.filled + step] = label_B[done : done + step]
            self.filled, done = self.filled + step, done + step
            if self.filled == self.shard_rows:
                self.flush()

    def flush(self) -> None:
        """Has the rows held written as one more shard, behind what comes next; nothing where there are none."""
        if self.ids_RN is None or self.filled == 0:
            return
        self._join()
        relative = f"{self.name}/{len(self._shards):05d}.arrow"
        ids_RN, label_R = self.ids_RN[: self.filled], self.label_R[: self.filled]
        self._writing = self._disk.submit(_write_shard, self.folder, relative, ids_RN, label_R)
        free = self._spare or (np.empty_like(self.ids_RN), np.empty_like(self.label_R))
        self._spare = (self.ids_RN, self.label_R)
        self.ids_RN, self.label_R = free
        self.filled = 0

    def shards(self) -> list[ShardInfo]:
        """What was flushed, in order, once it is on disk."""
        self._join()
        return self._shards

    def _join(self) -> None:
        if self._writing is not None:
            self._shards.append(self._writing.result())
            self._writing = None

    def _check(self, ids_BN: np.ndarray, label_B: np.ndarray) -> None:
        assert self.ids_RN is not None
        assert self.id_max_N is not None
        if ids_BN.ndim != 2 or ids_BN.shape != (len(label_B), self.ids_RN.shape[1]):
            raise DataError(
                f"split {self.name!r} got ids of shape {ids_BN.shape} for {len(label_B)} labels; "
                f"expected one row per label and {self.ids_RN.shape[1]} fields as in the rows before"
            )
        if len(label_B) == 0:
            return
        if int(ids_BN.min(initial=0)) < 0 or not 0 <= int(label_B.min()) <= int(label_B.max()) <= 1:
            raise DataError(
                f"split {self.name!r} got a negative id or a label that is neither 0 nor 1; encode them first"
            )
        np.maximum(self.id_max_N, ids_BN.max(axis=0), out=self.id_max_N)


def shard_of(ids_RN: np.ndarray, label_R: np.ndarray) -> pa.RecordBatch:
    """What a shard holds, of int32 ids and uint8 labels, without a copy."""
    schema = shard_schema(ids_RN.shape[1])
    ids = pa.FixedSizeListArray.from_arrays(pa.array(ids_RN.reshape(-1)), type=schema.field("ids").type)
    return pa.record_batch([ids, pa.array(label_R)], schema=schema)


def _write_shard(folder: Path, relative: str, ids_RN: np.ndarray, label_R: np.ndarray) -> ShardInfo:
    batch = shard_of(ids_RN, label_R)
    path = folder / relative
    path.parent.mkdir(exist_ok=True)
    with durable_file(path) as file, pa.ipc.new_file(file, batch.schema) as sink:
        sink.write_batch(batch)
    return ShardInfo(relative, len(label_R), int(np.count_nonzero(label_R)), file_sha256(path))


class DatasetWriter:
    """Builds a dataset in a temporary sibling folder and renames it at `finish`; leaves nothing behind on any error.

    `with DatasetWriter(dest) as writer:`; DataError where `dest` is taken or cannot be written.
    """

    def __init__(self, dest: Path, shard_rows: int = SHARD_ROWS) -> None:
        self.dest = Path(os.path.abspath(dest))
        self.folder = self.dest.parent / f".{self.dest.name}.partial-{secrets.token_hex(4)}"
        self._disk = ThreadPoolExecutor(1)
        self._splits = {name: SplitWriter(self.folder, name, shard_rows, self._disk) for name in SPLIT_NAMES}
        self._vocabularies: dict[tuple[int, str], tuple[int, int]] = {}
        with self._writing():
            if os.path.lexists(self.dest) and not _is_empty_folder(self.dest):
                raise DataError(f"{self.dest} already exists and is not an empty folder; remove it or choose another")

    def __enter__(self) -> Self:
        with self._writing():
            self.folder.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disk.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)

    def write_rows(self, split: str, ids_BN: np.ndarray, label_B: np.ndarray) -> None:
        """Appends rows to train, valid or test: ids int32 [B, N], labels uint8 [B] of 0 and 1."""
        if split not in self._splits:
            raise DataError(f"there is no split {split!r}; a dataset has {list(SPLIT_NAMES)}")
        with self._writing():
            self._splits[split].add(ids_BN, label_B)

    def write_vocabulary(self, field: str, index: int, values: pa.Array, counts: np.ndarray) -> None:
        """Writes a field's ids [V]: source value (null at id 0) and occurrences in the train split (int64)."""
        if len(values) != len(counts):
            raise DataError(f"field {field!r} got {len(values)} values and {len(counts)} counts; expected one per id")
        ids = pa.array(np.arange(len(values), dtype=np.int32))
        table = pa.table({"id": ids, "value": values.cast(pa.string()), "count": pa.array(counts.astype(np.int64))})
        self._write_table(vocabulary_path(self.folder, index, field), table)
        self._vocabularies[index, field] = (len(values), int(counts.sum()))

    def write_rejected(self, table: pa.Table) -> None:
        """Writes the sample of rows that could not be used."""
        self._write_table(self.folder / REJECTED_NAME, table)

    def finish(
        self, fields: tuple[FieldInfo, ...], source: SourceInfo, options: dict[str, str], bayes: BayesCeiling | None
    ) -> Manifest:
        """Writes what is held, checks the whole, seals the manifest and renames the folder to its destination."""
        with self._writing():
            for split in self._splits.values():
                split.flush()
            self._check_splits(fields)
            self._check_vocabularies(fields)
            splits = tuple(SplitInfo(name, tuple(split.shards())) for name, split in self._splits.items())
            named = tuple(sorted(options.items()))
            manifest = sealed(Manifest(self.dest.name, fields, splits, source, named, bayes))
            shutil.rmtree(self.folder / SPILL_NAME, ignore_errors=True)
            write_manifest(self.folder, manifest)
            _sync(self.folder / MANIFEST_NAME)
            for folder in (*(path for path in self.folder.iterdir() if path.is_dir()), self.folder):
                _sync(folder)
            self.folder.rename(self.dest)
            _sync(self.dest.parent)
        return manifest

    def _check_splits(self, fields: tuple[FieldInfo, ...]) -> None:
        rows = {name: sum(shard.rows for shard in split.shards()) for name, split in self._splits.items()}
        for name, split in self._splits.items():
            if split.id_max_N is None or rows[name] == 0:
                raise DataError(f"the {name} split of {self.dest} would be empty (rows: {rows}); give more rows")
            if len(split.id_max_N) != len(fields):
                raise DataError(f"the {name} split has {len(split.id_max_N)} columns of ids for {len(fields)} fields")
            for field, id_max in zip(fields, split.id_max_N.tolist(), strict=True):
                if id_max >= field.vocabulary_size:
                    raise DataError(
                        f"field {field.name!r} has id {id_max} in the {name} split; "
                        f"expected ids below its vocabulary size {field.vocabulary_size}"
                    )

    def _check_vocabularies(self, fields: tuple[FieldInfo, ...]) -> None:
        train_rows = sum(shard.rows for shard in self._splits["train"].shards())
        for index, field in enumerate(fields):
            got = self._vocabularies.get((index, field.name))
            if got != (field.vocabulary_size, train_rows):
                raise DataError(
                    f"the vocabulary of field {field.name!r} has (ids, sum of counts) = {got}; expected "
                    f"{(field.vocabulary_size, train_rows)}: every id, and every train row counted once, id 0 included"
                )

    def _write_table(self, path: Path, table: pa.Table) -> None:
        with self._writing():
            path.parent.mkdir(exist_ok=True)
            with durable_file(path) as file:
                pq.write_table(table, file, write_page_checksum=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turns the operating system's refusals (no space, quota, file size, permission) into one DataError."""
        try:
            yield
        except OSError as error:
            raise DataError(
                f"cannot write dataset {self.dest}: {error.strerror or error}; nothing was kept: "
                f"free space there or choose a folder that can be written"
            ) from error


@contextlib.contextmanager
def durable_file(path: Path) -> Iterator[Any]:
    """A new binary file that is on disk, not only in the page cache, when the block ends."""
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and next(path.iterdir(), None) is None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
