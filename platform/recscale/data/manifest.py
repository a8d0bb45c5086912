"""The manifest: what a dataset folder holds, and how a reader knows that it is whole."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from recscale.errors import DataError
from recscale.records import canonical_json, from_json, to_plain
from recscale.storage.location import Location

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
SPLIT_NAMES = ("train", "valid", "test")
MOST_IDS = 2**31 - 1
"""Ids are int32."""


@dataclass(frozen=True)
class FieldInfo:
    """One categorical column of the prepared data."""

    name: str
    """Column name in the source."""
    kind: str
    """categorical | hashed | numeric: how source values became ids."""
    vocabulary_size: int
    """Number of ids, the out-of-vocabulary id 0 included."""
    min_count: int
    """Values counted fewer times than this share id 0."""


@dataclass(frozen=True)
class ShardInfo:
    """One Arrow file."""

    path: str
    """Relative to the dataset folder, with forward slashes: train/00000.arrow."""
    rows: int
    """Rows in it, at most SHARD_ROWS."""
    positives: int
    """Rows labelled 1."""
    sha256: str
    """Checksum of the file."""


@dataclass(frozen=True)
class SplitInfo:
    """train, valid or test."""

    name: str
    """One of SPLIT_NAMES."""
    shards: tuple[ShardInfo, ...]
    """In order."""

    @property
    def rows(self) -> int:
        """Rows over all shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def positives(self) -> int:
        """Rows labelled 1 over all shards."""
        return sum(shard.positives for shard in self.shards)

    @property
    def base_rate(self) -> float:
        """Share of rows labelled 1."""
        return self.positives / self.rows


@dataclass(frozen=True)
class SourceInfo:
    """Where the data came from."""

    format: str
    """criteo | avazu | movielens | libsvm | table | synthetic."""
    files: tuple[str, ...]
    """File names as given, without folders."""
    rows: int
    """Rows read, rejected ones included."""
    rejected_rows: int
    """Rows that could not be used; a sample of them is in rejected.parquet."""
    duplicate_rows: int
    """Rows dropped by --drop-duplicates."""


@dataclass(frozen=True)
class BayesCeiling:
    """What the best possible model reaches on the test split, known only for the synthetic world."""

    auc: float
    """AUC of the true logit against the drawn labels."""
    log_loss: float
    """Log loss of the true probability against the drawn labels, in nats."""


@dataclass(frozen=True)
class Manifest:
    """The whole of manifest.json."""

    name: str
    """The dataset folder's name."""
    fields: tuple[FieldInfo, ...]
    """In column order."""
    splits: tuple[SplitInfo, ...]
    """train, valid, test."""
    source: SourceInfo
    """Where it came from."""
    options: tuple[tuple[str, str], ...]
    """Preparation options by name, as text, sorted."""
    bayes: BayesCeiling | None
    """Ceiling of the synthetic world, else None."""
    fingerprint: str = ""
    """sha256 over everything above but the name; set by `sealed`."""

    @property
    def vocabulary_sizes(self) -> tuple[int, ...]:
        """D_i of every field, in column order."""
        return tuple(field.vocabulary_size for field in self.fields)

    def split(self, name: str) -> SplitInfo:
        """The split of that name; DataError where there is none."""
        for split in self.splits:
            if split.name == name:
                return split
        raise DataError(f"dataset {self.name!r} has no split {name!r}; it has {[s.name for s in self.splits]}")


def sealed(manifest: Manifest) -> Manifest:
    """The manifest with its fingerprint computed: same content, same fingerprint, whatever the folder is called."""
    plain = to_plain(replace(manifest, fingerprint="", name=""))
    return replace(manifest, fingerprint=hashlib.sha256(canonical_json(plain).encode()).hexdigest())


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes manifest.json; call it last, so that a folder with a manifest is whole."""
    (folder / MANIFEST_NAME).write_text(json.dumps(to_plain(manifest), indent=1) + "\n")


def read_manifest(folder: Location) -> Manifest:
    """Reads and checks manifest.json; DataError where it is missing, not of this format, or changed after sealing."""
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise DataError(
            f"{folder} is not a prepared dataset: it has no {MANIFEST_NAME}; make one with `recscale prepare`"
        )
    manifest = from_json(Manifest, path.read_bytes(), str(path))
    if sealed(manifest).fingerprint != manifest.fingerprint:
        raise DataError(f"{path} does not match its own fingerprint: it was changed after preparation; prepare again")
    problem = _problem(manifest)
    if problem:
        raise DataError(f"{path} describes no dataset: {problem}; prepare again")
    return manifest


def _problem(manifest: Manifest) -> str:
    """What no preparation writes; empty where there is nothing of it."""
    names = tuple(split.name for split in manifest.splits)
    if names != SPLIT_NAMES:
        return f"its splits are {', '.join(names) or 'none'}, expected {', '.join(SPLIT_NAMES)}"
    if not manifest.fields:
        return "it has no fields"
    for field in manifest.fields:
        if not 1 <= field.vocabulary_size <= MOST_IDS:
            return f"field {field.name!r} has {field.vocabulary_size} ids, expected 1 to {MOST_IDS}"
    for shard in (shard for split in manifest.splits for shard in split.shards):
        if shard.rows < 1 or not 0 <= shard.positives <= shard.rows:
            return f"{shard.path} has {shard.rows} rows, {shard.positives} of them positive"
    return ""


def inside(folder: Path, relative: str) -> Path:
    """The absolute path of a manifest's entry; DataError where it would leave the dataset's folder."""
    path = folder / relative
    if "\0" in relative or not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{folder} names a shard {relative!r} outside its own folder: do not trust it; prepare again")
    return path
