"""A dataset folder or URI: its manifest and its shards, memory-mapped and checked; its splits as torch reads them.

Legend: N fields, R rows of one shard, V vocabulary size of one field. Torch is loaded where a split is asked for, not
before: what only needs to know the dataset starts without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recscale.data.manifest import FieldInfo, Manifest, inside, read_manifest
from recscale.data.mirror import check_remote, mirrored
from recscale.data.shards import ids_and_labels, one_line, open_shard
from recscale.data.writer import file_sha256, vocabulary_path
from recscale.errors import DataError
from recscale.records import DatasetRef
from recscale.storage.location import Location, location
from recscale.storage.remote import RemotePath

if TYPE_CHECKING:
    from recscale.data.splits import Split


@dataclass(frozen=True, eq=False)
class Dataset:
    """A prepared dataset whose shards are all there, memory-mapped."""

    path: Path
    """Its folder on this machine, absolute."""
    place: Location
    """Where it was prepared to, and every machine finds it: that folder, or a URI of which the folder is a copy."""
    manifest: Manifest
    """What it holds."""
    shards: tuple[tuple[pa.RecordBatch, ...], ...]
    """Those of train, valid and test, as the manifest names them: columns ids and label."""

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Maps every shard; DataError naming the file that is missing, truncated or not what the manifest says."""
        place = location(path)
        folder = mirrored(place) if isinstance(place, RemotePath) else Path(path).absolute()
        manifest = read_manifest(folder)
        num_fields = len(manifest.fields)
        shards = tuple(
            tuple(open_shard(folder, shard, num_fields) for shard in split.shards) for split in manifest.splits
        )
        return cls(folder, place, manifest, shards)

    def ref(self) -> DatasetRef:
        """How a trial names this dataset."""
        return DatasetRef(str(self.place), self.manifest.fingerprint)

    @cached_property
    def splits(self) -> tuple[Split, ...]:
        """train, valid, test."""
        from recscale.data.splits import Split

        return tuple(
            Split.of_shards(info, shards) for info, shards in zip(self.manifest.splits, self.shards, strict=True)
        )

    def split(self, name: str) -> Split:
        """The split of that name; DataError where there is none."""
        return self.splits[self.manifest.splits.index(self.manifest.split(name))]

    def check_rows(self) -> None:
        """Reads every row once; DataError naming the shard whose ids or labels no model of this dataset could take."""
        size_N = np.array(self.manifest.vocabulary_sizes)
        for split, shards in zip(self.manifest.splits, self.shards, strict=True):
            for info, shard in zip(split.shards, shards, strict=True):
                ids_RN, label_R = ids_and_labels(shard)
                if (ids_RN.min(0) < 0).any() or (ids_RN.max(0) >= size_N).any() or label_R.max() > 1:
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
