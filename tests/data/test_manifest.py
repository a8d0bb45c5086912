"""The manifest round-trips, identifies content and notices every change."""

import dataclasses
import json
from pathlib import Path

import pytest

from recscale.data.manifest import (
    MANIFEST_NAME,
    BayesCeiling,
    FieldInfo,
    Manifest,
    ShardInfo,
    SourceInfo,
    SplitInfo,
    read_manifest,
    sealed,
    write_manifest,
)
from recscale.errors import DataError


@pytest.fixture
def manifest() -> Manifest:
    splits = tuple(
        SplitInfo(name, (ShardInfo(f"{name}/00000.arrow", rows, 3, "ab" * 32), ShardInfo("b", 5, 1, "cd" * 32)))
        for name, rows in (("train", 80), ("valid", 10), ("test", 10))
    )
    fields = (FieldInfo("user", "categorical", 7, 2), FieldInfo("price", "numeric", 4, 1))
    source = SourceInfo("table", ("clicks.csv",), 115, 0, 0)
    return sealed(Manifest("shop", fields, splits, source, (("seed", "0"),), BayesCeiling(0.8, 0.4)))


def test_round_trip(manifest: Manifest, tmp_path: Path) -> None:
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest


def test_a_split_sums_its_shards(manifest: Manifest) -> None:
    assert (manifest.split("train").rows, manifest.split("train").positives) == (85, 4)
    assert manifest.vocabulary_sizes == (7, 4)


def test_unknown_split_is_named(manifest: Manifest) -> None:
    with pytest.raises(DataError, match="no split 'dev'"):
        manifest.split("dev")


def test_the_fingerprint_ignores_only_the_name(manifest: Manifest) -> None:
    assert sealed(dataclasses.replace(manifest, name="other")).fingerprint == manifest.fingerprint
    for change in ({"fields": manifest.fields[:1]}, {"options": (("seed", "1"),)}, {"bayes": None}):
        assert sealed(dataclasses.replace(manifest, **change)).fingerprint != manifest.fingerprint


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("fields", 0, "vocabulary_size"), 8),
        (("splits", 0, "shards", 0, "rows"), 81),
        (("splits", 0, "shards", 0, "path"), "../../etc/passwd"),
        (("source", "rejected_rows"), 1),
        (("fingerprint",), "0" * 64),
    ],
)
def test_a_changed_value_is_noticed(
    manifest: Manifest, tmp_path: Path, path: tuple[str | int, ...], value: object
) -> None:
    write_manifest(tmp_path, manifest)
    plain = json.loads((tmp_path / MANIFEST_NAME).read_text())
    place = plain
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (tmp_path / MANIFEST_NAME).write_text(json.dumps(plain))
    with pytest.raises(DataError, match=r"manifest\.json does not match its own fingerprint"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("keep", [0, 1, 100])
def test_a_truncated_manifest_is_named(manifest: Manifest, tmp_path: Path, keep: int) -> None:
    write_manifest(tmp_path, manifest)
    text = (tmp_path / MANIFEST_NAME).read_text()
    (tmp_path / MANIFEST_NAME).write_text(text[:keep])
    with pytest.raises(DataError, match=r"manifest\.json is not a valid Manifest"):
        read_manifest(tmp_path)


def test_a_folder_without_a_manifest_is_not_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a prepared dataset"):
        read_manifest(tmp_path / "nowhere")
