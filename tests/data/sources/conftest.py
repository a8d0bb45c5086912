"""Helpers for sources: small files in, decoded rows out."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recscale.data.manifest import SPLIT_NAMES, Manifest
from recscale.data.options import PrepareOptions, VocabularyFrom
from recscale.data.prepare import prepare
from recscale.data.reader import Dataset
from recscale.data.sources.scan import Source
from recscale.data.writer import vocabulary_path

Rows = dict[str, list[tuple[str | None, ...]]]
EVERYTHING = PrepareOptions(min_count=1, vocabulary_from=VocabularyFrom.ALL)


def decode(folder: Path) -> Rows:
    """Rows of every split as (label, value, value, ...), None for out of vocabulary."""
    dataset = Dataset.open(folder)
    values = [
        pq.read_table(vocabulary_path(folder, index, field.name)).column("value").to_pylist()
        for index, field in enumerate(dataset.manifest.fields)
    ]
    rows: Rows = {}
    for split in SPLIT_NAMES:
        rows[split] = []
        for batch in dataset.split(split).in_order(1000):
            for ids, label in zip(batch.ids_BN.tolist(), batch.label_B.tolist(), strict=True):
                cells = (column[number] for column, number in zip(values, ids, strict=True))
                rows[split].append((str(int(label)), *cells))
    return rows


@pytest.fixture
def decoded() -> Callable[[Path], Rows]:
    """Rows of a dataset folder."""
    return decode


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[..., tuple[Manifest, Rows]]:
    """Prepares a source keeping every value, and decodes it."""

    def run(source: Source, options: PrepareOptions = EVERYTHING) -> tuple[Manifest, Rows]:
        dest = tmp_path / "out" / "dataset"
        manifest = prepare(source, dest, options)
        assert [path.name for path in dest.parent.iterdir()] == ["dataset"]
        return manifest, decode(dest)

    return run


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes text into a file of that name, packed where the name ends in .gz."""

    def run(name: str, content: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
        return path

    return run
