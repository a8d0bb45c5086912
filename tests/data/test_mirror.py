"""Datasets in a real S3 server: copied once per machine, checked, never half, and read as the local ones are."""

import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from recscale.data.manifest import MANIFEST_NAME
from recscale.data.mirror import cache_folder, published
from recscale.data.reader import Dataset
from recscale.errors import DataError
from recscale.storage.location import location, write_atomic
from tests.storage.servers import Fault, FaultyProxy

SHARD = "/train/00000.arrow"
PUBLISH = """
import shutil, sys
from recscale.data.mirror import published
with published(sys.argv[2]) as folder:
    shutil.copytree(sys.argv[1], folder)
"""
COPY = "import sys; from recscale.data.reader import Dataset; Dataset.open(sys.argv[1])"


@pytest.fixture
def publish(small_dataset: Dataset, bucket: str) -> Callable[[], str]:
    """Uploads the small dataset as `recscale prepare` does; its URI."""

    def upload() -> str:
        with published(f"{bucket}/data/small") as folder:
            folder.mkdir()
            for path in small_dataset.path.rglob("*"):
                target = folder / path.relative_to(small_dataset.path)
                if path.is_file():
                    target.parent.mkdir(exist_ok=True)
                    target.write_bytes(path.read_bytes())
        return f"{bucket}/data/small"

    return upload


def _copies() -> list[str]:
    return sorted(path.name for path in (cache_folder() / "datasets").iterdir() if path.suffix != ".lock")


def test_a_remote_dataset_is_the_local_one(
    publish: Callable[[], str], small_dataset: Dataset, faulty: FaultyProxy
) -> None:
    uri = publish()
    opened = Dataset.open(uri)
    assert opened.manifest == small_dataset.manifest
    assert opened.ref().path == uri
    assert opened.path.is_relative_to(cache_folder())
    pairs = zip(opened.split("train").epoch(64, 1, 0), small_dataset.split("train").epoch(64, 1, 0), strict=True)
    assert all(torch.equal(a.ids_BN, b.ids_BN) and torch.equal(a.label_B, b.label_B) for a, b in pairs)
    opened.verify()
    read = faulty.seen("GET", SHARD)
    assert Dataset.open(uri).path == opened.path
    assert faulty.seen("GET", SHARD) == read
    assert _copies() == [opened.manifest.fingerprint]


def test_a_dataset_that_is_there_is_not_overwritten(publish: Callable[[], str]) -> None:
    publish()
    with pytest.raises(DataError, match=r"already holds a dataset; remove it or choose another"):
        publish()


def test_several_who_ask_at_once_share_one_copy(publish: Callable[[], str], faulty: FaultyProxy) -> None:
    uri = publish()
    faulty.latency = 0.01
    before = faulty.seen("GET", SHARD)
    with ThreadPoolExecutor(4) as threads:
        opened = list(threads.map(Dataset.open, [uri] * 4))
    assert faulty.seen("GET", SHARD) == before + 1
    assert {each.path for each in opened} == {cache_folder() / "datasets" / opened[0].manifest.fingerprint}


def test_a_copy_survives_what_passes(publish: Callable[[], str], faulty: FaultyProxy) -> None:
    uri = publish()
    cases = (
        (Fault.CUT_ANSWER, SHARD),
        (Fault.RESET, "/valid/00000.arrow"),
        (Fault.ERROR_500, "/test/00000.arrow"),
        (Fault.ERROR_503, "/vocabulary/active_00.parquet"),
    )
    rules = [faulty.fail(fault, "GET", part) for fault, part in cases]
    Dataset.open(uri).verify()
    assert all(rule.met.is_set() for rule in rules)


@pytest.mark.parametrize("damage", [lambda content: content[:-8] + b"\1" * 8, lambda content: content[:1000]])
def test_a_changed_shard_is_named_and_not_kept(publish: Callable[[], str], damage: Callable[[bytes], bytes]) -> None:
    uri = publish()
    shard = location(uri) / "train/00000.arrow"
    content = shard.read_bytes()
    write_atomic(shard, damage(content))
    for _ in range(2):
        with pytest.raises(DataError, match=r"s3://.*/train/00000.arrow does not match its checksum"):
            Dataset.open(uri)
    write_atomic(shard, content)
    opened = Dataset.open(uri)
    write_atomic(shard, damage(content))
    with pytest.raises(DataError, match=r"s3://.*/train/00000.arrow does not match its checksum"):
        opened.verify()


@pytest.mark.parametrize("lost", ["valid/00000.arrow", "vocabulary/active_03.parquet"])
def test_a_missing_object_is_named(publish: Callable[[], str], lost: str) -> None:
    uri = publish()
    (location(uri) / lost).unlink()
    with pytest.raises(DataError, match=rf"s3://.*/{lost} is missing; prepare the dataset again"):
        Dataset.open(uri)


@pytest.mark.slow
def test_a_copy_killed_half_way_is_not_taken_for_a_whole_one(publish: Callable[[], str], faulty: FaultyProxy) -> None:
    uri = publish()
    _killed_at(faulty.fail(Fault.HOLD, "GET", SHARD).met, COPY, uri)
    assert all(name.endswith(".partial") for name in _copies())
    opened = Dataset.open(uri)
    opened.verify()
    assert _copies() == [opened.manifest.fingerprint]


@pytest.mark.slow
def test_an_upload_killed_half_way_is_no_dataset_and_can_be_repeated(
    publish: Callable[[], str], small_dataset: Dataset, faulty: FaultyProxy, bucket: str
) -> None:
    uri = f"{bucket}/data/small"
    _killed_at(faulty.fail(Fault.HOLD, "PUT", SHARD).met, PUBLISH, str(small_dataset.path), uri)
    assert not (location(uri) / MANIFEST_NAME).exists()
    with pytest.raises(DataError, match="is not a prepared dataset"):
        Dataset.open(uri)
    assert Dataset.open(publish()).manifest == small_dataset.manifest


def test_a_cache_that_cannot_be_written_is_one_error(
    publish: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = publish()
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RECSCALE_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot copy s3://.*name another folder by RECSCALE_CACHE"):
        Dataset.open(uri)


def _killed_at(met: object, program: str, *arguments: str) -> None:
    """Runs the program until the event, then kills it."""
    with subprocess.Popen([sys.executable, "-c", program, *arguments]) as process:
        assert met.wait(120)  # type: ignore[attr-defined]
        process.send_signal(signal.SIGKILL)
