"""Datasets at a URI: copied once per machine into a local folder, from which they are mapped; and put there."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recscale.data.manifest import MANIFEST_NAME, Manifest, inside, read_manifest
from recscale.data.writer import file_sha256, vocabulary_path
from recscale.errors import DataError
from recscale.storage.location import for_each, location
from recscale.storage.remote import RemotePath

CACHE_VARIABLE = "RECSCALE_CACHE"
"""Environment variable that names another folder than ~/.cache/recscale."""


def cache_folder() -> Path:
    """Where this machine keeps its copies of remote datasets; removing it costs no more than copying them again."""
    return Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/recscale").expanduser().absolute()


def mirrored(place: RemotePath) -> Path:
    """The local folder with the dataset's content, copied where this machine has no copy of that fingerprint yet.

    A copy appears whole or not at all. Several processes may ask at once: one copies, the others wait for it. DataError
    where an object is not what the manifest says.
    """
    place.check()
    manifest = read_manifest(place)
    folder = cache_folder() / "datasets" / manifest.fingerprint
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_name(f"{folder.name}.lock")):
            if not folder.is_dir():
                partial = folder.with_name(f"{folder.name}.partial")  # left by a process that was killed
                shutil.rmtree(partial, ignore_errors=True)
                _copy(place, manifest, partial)
                partial.rename(folder)
    except FileNotFoundError as error:
        raise DataError(f"{error.filename} is missing; prepare the dataset again") from error
    except OSError as error:
        raise DataError(
            f"cannot copy {place} to {folder}: {error.strerror or error}; free space there, or name another folder by "
            f"{CACHE_VARIABLE}"
        ) from error
    return folder


def check_remote(place: RemotePath, manifest: Manifest) -> None:
    """Reads every shard at the URI again; DataError naming the first that does not match its checksum."""
    for split in manifest.splits:
        for shard in split.shards:
            digest = hashlib.sha256()
            for piece in (place / shard.path).pieces():
                digest.update(piece)
            _check(place / shard.path, digest.hexdigest(), shard.sha256)


@contextmanager
def published(dest: str) -> Iterator[Path]:
    """A folder into which to write the dataset `dest`: itself, or for a URI one that is uploaded at the block's end.

    The manifest goes last, so that what has one is whole. DataError where the URI holds a dataset already.
    """
    place = location(dest)
    if not isinstance(place, RemotePath):
        yield Path(dest)
        return
    place.check()
    if (place / MANIFEST_NAME).exists():
        raise DataError(f"{place} already holds a dataset; remove it or choose another")
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="upload-") as workspace:
        folder = Path(workspace) / place.name
        yield folder
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_NAME)
        from recscale.data.progress import Progress  # only here: training needs no tqdm

        with Progress("uploading", "file", len(files)) as progress:
            for path in files:
                (place / path.relative_to(folder).as_posix()).upload(path)
                progress.advance(1)
        (place / MANIFEST_NAME).upload(folder / MANIFEST_NAME)


def _copy(place: RemotePath, manifest: Manifest, folder: Path) -> None:
    """Downloads what the manifest names, checks every shard, and writes the manifest last."""
    shards = {shard.path: shard.sha256 for split in manifest.splits for shard in split.shards}
    fields = [vocabulary_path(Path(), index, field.name) for index, field in enumerate(manifest.fields)]
    from recscale.data.progress import Progress  # only here: training needs no tqdm

    with Progress("copying", "file", len(shards) + len(fields)) as progress:

        def copy(relative: str) -> None:
            target = inside(folder, relative)
            target.parent.mkdir(parents=True, exist_ok=True)
            (place / relative).download(target)
            if relative in shards:
                _check(place / relative, file_sha256(target), shards[relative])
            progress.advance(1)

        for_each(copy, [*shards, *(path.as_posix() for path in fields)], place)
    (place / MANIFEST_NAME).download(folder / MANIFEST_NAME)
    if read_manifest(folder).fingerprint != manifest.fingerprint:
        raise DataError(f"{place} was replaced while it was copied; run the command again")


def _check(place: RemotePath, got: str, expected: str) -> None:
    if got != expected:
        raise DataError(f"{place} does not match its checksum in the manifest: it was changed; prepare again")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Holds a lock that ends with this process, however that ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
