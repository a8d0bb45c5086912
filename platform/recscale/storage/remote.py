"""A path in an object store, with the few of pathlib's operations that this project needs.

An object appears whole or not at all: a small one is one request, a larger one is uploaded in parts that the store
joins at the end. pyarrow's streams publish on close what they have, and close when they are dropped, even by an error:
so every object is handed over in one call, never piece by piece.
"""

import errno
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.fs
from pyarrow.fs import FileInfo, FileSelector, FileType

from recscale.errors import DataError
from recscale.storage.filesystems import Address, attempts, open_filesystem, parse_address

SMALL_BYTES = 4 << 20
"""Up to here an object is written in one request, which is less than the smallest part of an upload in parts."""
PIECE_BYTES = 8 << 20
"""Read at once on the way to a local file."""
UNFIT = "Failed to flush response stream"
LONGEST_PAUSE = 20.0
"""Seconds; the library's own, too."""
PERMANENT = ("ACCESS_DENIED", "NO_SUCH_BUCKET", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "NO_SUCH_UPLOAD")
"""What the cloud's library does not try again."""


@dataclass(frozen=True)
class RemotePath:
    """A file or folder at a URI. Every operation raises FileNotFoundError as pathlib does, else one DataError."""

    address: Address
    """Where it is."""

    @classmethod
    def parse(cls, uri: str) -> Self:
        """The path of an s3:// or gs:// URI; ConfigError for any other text."""
        return cls(parse_address(uri))

    def __str__(self) -> str:
        return str(self.address)

    def __truediv__(self, name: str, /) -> Self:
        key = "/".join(part for part in (self.address.key, *name.split("/")) if part)
        return replace(self, address=replace(self.address, key=key))

    def __lt__(self, other: Self, /) -> bool:
        return str(self) < str(other)

    @property
    def name(self) -> str:
        """The last part; the bucket's name where there is no other."""
        return self.address.key.rpartition("/")[2] or self.address.bucket

    @property
    def parent(self) -> Self:
        """The folder that holds this; of a bucket itself."""
        return replace(self, address=replace(self.address, key=self.address.key.rpartition("/")[0]))

    @property
    def in_filesystem(self) -> str:
        """bucket/key, as the filesystem names it."""
        return "/".join(filter(None, (self.address.bucket, self.address.key)))

    @property
    def filesystem(self) -> pyarrow.fs.FileSystem:
        """pyarrow's filesystem, in which this is `in_filesystem`."""
        return open_filesystem(self.address, delayed=False)

    def absolute(self) -> Self:
        """Itself: a URI means the same everywhere."""
        return self

    def resolve(self) -> Self:
        """Itself: there are no links."""
        return self

    def check(self) -> None:
        """DataError where the bucket does not answer, is not there, or may not be looked into."""
        with suppress(FileNotFoundError):
            self._listed()

    def exists(self) -> bool:
        """Whether there is an object of that name, or one below it."""
        return bool(self._info().type != FileType.NotFound)

    def is_file(self) -> bool:
        """Whether there is an object of that name."""
        return bool(self._info().type == FileType.File)

    def is_dir(self) -> bool:
        """Whether there is an object below it."""
        return bool(self._info().type == FileType.Directory)

    def modified_ns(self) -> int:
        """When the object was written, in nanoseconds of the store's clock; FileNotFoundError where there is none."""
        info = self._info()
        if info.type == FileType.NotFound:
            raise FileNotFoundError(errno.ENOENT, "no such object", str(self))
        return int(info.mtime_ns)

    def iterdir(self) -> Iterator[Self]:
        """What is directly below, in no order; FileNotFoundError where nothing is."""
        yield from [self / info.base_name for info in self._listed()]

    def glob(self, pattern: str) -> Iterator[Self]:
        """Matches of `*.json`, or `*/name` of a file in the folders directly below; none where nothing is there."""
        first, _, rest = pattern.partition("/")
        try:
            found = [info for info in self._listed() if fnmatchcase(info.base_name, first)]
        except FileNotFoundError:
            return
        for info in found:
            below = self / info.base_name / rest
            if not rest or (info.type == FileType.Directory and below.is_file()):
                yield below

    def read_bytes(self) -> bytes:
        """The object's content."""
        with self._asking("read"), self.filesystem.open_input_file(self.in_filesystem) as file:
            return _read(file, file.size(), 0)

    def read_text(self) -> str:
        """The object's content as text."""
        return self.read_bytes().decode()

    def pieces(self) -> Iterator[bytes]:
        """The object's content, piece by piece."""
        with self._asking("read"), self.filesystem.open_input_file(self.in_filesystem) as file:
            for start in range(0, file.size(), PIECE_BYTES):
                yield _read(file, PIECE_BYTES, start)

    def write_bytes(self, content: bytes | pa.Buffer) -> None:
        """Writes the object; until it is whole, a reader sees what was there before."""
        with self._asking("write"):
            filesystem = open_filesystem(self.address, delayed=len(content) <= SMALL_BYTES)
            stream = filesystem.open_output_stream(self.in_filesystem)
            stream.write(content)
            stream.close()

    def upload(self, source: Path) -> None:
        """Writes the content of a local file."""
        with pa.memory_map(str(source)) as file:
            self.write_bytes(file.read_buffer())

    def download(self, target: Path) -> None:
        """Copies the object into a local file."""
        with target.open("wb") as file:
            for piece in self.pieces():
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())

    def unlink(self, missing_ok: bool = False) -> None:
        """Removes the object."""
        with self._asking("remove"):
            try:
                self.filesystem.delete_file(self.in_filesystem)
            except FileNotFoundError:
                if not missing_ok:
                    raise

    def remove_tree(self) -> None:
        """Removes every object below; nothing where there is none."""
        with self._asking("remove"):
            if self._info().type == FileType.Directory:
                self.filesystem.delete_dir(self.in_filesystem)

    def _info(self) -> FileInfo:
        with self._asking("look at"):
            return self.filesystem.get_file_info(self.in_filesystem)

    def _listed(self) -> list[FileInfo]:
        with self._asking("list"):
            return list(self.filesystem.get_file_info(FileSelector(self.in_filesystem)))

    @contextmanager
    def _asking(self, action: str) -> Iterator[None]:
        """Turns what the store refuses into one line that names the URI."""
        try:
            yield
        except FileNotFoundError as error:
            raise FileNotFoundError(error.errno, "no such object", str(self)) from error
        except OSError as error:
            reason = " ".join(str(error).split())
            raise DataError(f"cannot {action} {self}: {reason}; {_advice(reason)}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).parse, (str(self),)


def _read(file: pa.NativeFile, length: int, start: int) -> bytes:
    """Part of an object; tried again in the one case of which the cloud's library makes something else.

    An error's text that is longer than the part does not fit where the part was to go, and that is then all it reports.
    """
    failed = 0
    while True:
        try:
            return file.read_at(length, start)  # type: ignore[no-any-return]
        except OSError as error:
            failed += 1
            if UNFIT not in str(error) or failed >= attempts():
                raise
        time.sleep(random.uniform(0, min(2 ** (failed - 1), LONGEST_PAUSE)))


def _advice(reason: str) -> str:
    if "NO_SUCH_BUCKET" in reason:
        return "correct the bucket's name, or make it"
    if any(code in reason for code in PERMANENT):
        return "check the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE) and what they allow"
    return f"gave up after {attempts()} attempts; run the same command again when the store answers"
