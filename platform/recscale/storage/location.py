"""Local paths and URIs as one thing: what --data and --storage may be, and how files there are read and written."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, Self, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recscale.errors import DataError
from recscale.storage.filesystems import is_uri
from recscale.storage.remote import RemotePath

REQUESTS = 16
"""Requests under way at once where many objects are asked for: an object store answers slowly, but many at a time."""
Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Location(Protocol):
    """A file or folder, local (pathlib.Path itself) or remote (RemotePath): what both can do."""

    @property
    def name(self) -> str:
        """The last part."""

    @property
    def parent(self) -> Self:
        """The folder that holds it."""

    def __truediv__(self, name: str, /) -> Self: ...
    def __lt__(self, other: Self, /) -> bool: ...
    def absolute(self) -> Self:
        """The same place, whatever the current folder is."""

    def resolve(self) -> Self:
        """The same place, without links."""

    def exists(self) -> bool:
        """Whether anything is there."""

    def is_file(self) -> bool:
        """Whether a file is there."""

    def is_dir(self) -> bool:
        """Whether a folder is there."""

    def iterdir(self) -> Iterator[Self]:
        """What is directly below."""

    def glob(self, pattern: str, /) -> Iterator[Self]:
        """What matches, one level below, or in the folders one level below."""

    def read_bytes(self) -> bytes:
        """The content."""

    def read_text(self) -> str:
        """The content as text."""

    def unlink(self, missing_ok: bool = False) -> None:
        """Removes the file."""


def location(text: str | Path) -> Location:
    """A URI's place, else the local path made absolute; ConfigError for a URI of no store that is known."""
    return RemotePath.parse(str(text)) if is_uri(str(text)) else Path(text).absolute()


def write_atomic(place: Location, content: bytes) -> None:
    """Writes so that a reader sees the old content or the new; DataError where the storage cannot take it.

    Locally: beside its place, forced to disk, then renamed.
    """
    if isinstance(place, RemotePath):
        place.write_bytes(content)
        return
    path = Path(str(place))
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise DataError(f"cannot write {path}: {error.strerror}; free space or choose another --storage") from error


def check_storage(place: Location) -> None:
    """DataError where a remote storage cannot be used, before anything is computed for it."""
    if isinstance(place, RemotePath):
        place.check()


def remove_tree(place: Location) -> None:
    """Removes a folder that is not needed any more, as far as that is possible."""
    if isinstance(place, RemotePath):
        with suppress(DataError):
            place.remove_tree()
    else:
        shutil.rmtree(str(place), ignore_errors=True)


def modified_ns(place: Location) -> int:
    """When the file was last written, in nanoseconds of the storage's clock."""
    return place.modified_ns() if isinstance(place, RemotePath) else os.stat(str(place)).st_mtime_ns


def touch(place: Location) -> None:
    """Makes an empty file, or gives the one that is there a new time; it needs no space. DataError where it cannot."""
    if isinstance(place, RemotePath):
        place.write_bytes(b"")
        return
    path = Path(str(place))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}; free space or choose another --storage") from error


def arrow_source(place: Location) -> pa.NativeFile:
    """The file's content for Arrow's readers: a local file by memory map, an object in memory."""
    return pa.BufferReader(place.read_bytes()) if isinstance(place, RemotePath) else pa.memory_map(str(place))


def read_parquet(
    place: Location,
    columns: list[str] | None = None,
    schema: pa.Schema | None = None,
    filters: pc.Expression | None = None,
) -> pa.Table:
    """Reads a Parquet file, as pq.read_table does; DataError where it is missing, broken or lacks a column."""
    try:
        source = arrow_source(place) if isinstance(place, RemotePath) else str(place)
        table = pq.read_table(source, columns=columns, schema=schema, filters=filters)
        _check_table(table)
        missing = sorted({*(columns or ())} - {*table.column_names})
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(
            f"{place} cannot be read as Parquet ({reason}); delete it and run the study's command again"
        ) from error
    if missing:
        raise DataError(f"{place} lacks the columns {missing}; delete it and run the study's command again")
    return table


def read_arrow(place: Location, schema: pa.Schema) -> pa.Table:
    """Reads an Arrow IPC file; DataError naming it where it is missing, broken or of another schema."""
    try:
        table = pa.ipc.open_file(arrow_source(place)).read_all()
        _check_table(table)
        if not table.schema.equals(schema):
            raise pa.ArrowInvalid(f"its columns are {table.column_names}, expected {schema.names}")
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(
            f"{place} is no readable Arrow file: {error}; delete its folder to run the trial again"
        ) from error
    return table


def _check_table(table: pa.Table) -> None:
    """Raises where an offset, a length, a text or a name in a file is none: readers of the table would follow it."""
    table.validate(full=True)
    _ = table.column_names


@contextmanager
def local_copy(place: Location) -> Iterator[Path]:
    """A local file of the same name and content for the time of the block; a local place is its own."""
    if not isinstance(place, RemotePath):
        yield Path(str(place))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / place.name
        place.download(path)
        yield path


def for_each(ask: Callable[[Item], Answer], items: Iterable[Item], place: Location) -> list[Answer]:
    """The answers in the items' order; where `place` is remote, many are asked for at once."""
    if not isinstance(place, RemotePath):
        return [ask(item) for item in items]
    with ThreadPoolExecutor(REQUESTS) as threads:
        return list(threads.map(ask, items))
