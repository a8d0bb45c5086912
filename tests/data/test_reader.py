"""The reader gives every row once per epoch, in an order that (seed, epoch, batch) decide, and names every bad file."""

import dataclasses
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recscale.data import order
from recscale.data.manifest import (
    SPLIT_NAMES,
    FieldInfo,
    Manifest,
    SourceInfo,
    read_manifest,
    sealed,
    write_manifest,
)
from recscale.data.reader import Dataset
from recscale.data.splits import Batch, ResidentSplit, Split, StreamedSplit
from recscale.data.writer import DatasetWriter, vocabulary_path
from recscale.errors import DataError

ROWS = {"train": 5_000, "valid": 37, "test": 400}
SHARD_ROWS = 700
CPU = torch.device("cpu")


def split_rows(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose first id is their number, so that an order can be read off."""
    number_B = np.arange(ROWS[name], dtype=np.int32)
    rng = np.random.default_rng(7)
    label_B = rng.integers(0, 2, len(number_B)).astype(np.uint8)
    return np.stack([number_B, number_B % 3, rng.integers(0, 9, len(number_B), np.int32)], axis=1), label_B


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dest = tmp_path_factory.mktemp("reader") / "shop"
    sizes = (5_000, 3, 9)
    ids_BN, _ = split_rows("train")
    with DatasetWriter(dest, SHARD_ROWS) as writer:
        for name in SPLIT_NAMES:
            writer.write_rows(name, *split_rows(name))
        for index, size in enumerate(sizes):
            values = pa.array([None, *map(str, range(1, size))])
            writer.write_vocabulary(f"f{index}", index, values, np.bincount(ids_BN[:, index], minlength=size))
        fields = tuple(FieldInfo(f"f{index}", "categorical", size, 1) for index, size in enumerate(sizes))
        writer.finish(fields, SourceInfo("table", (), sum(ROWS.values()), 0, 0), {}, None)
    return dest


@pytest.fixture(scope="module")
def dataset(written: Path) -> Dataset:
    return Dataset.open(written)


@pytest.fixture
def train(dataset: Dataset) -> Split:
    return dataset.split("train")


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    """A dataset folder that a test may damage."""
    for source in written.rglob("*"):
        if source.is_file():
            target = tmp_path / "shop" / source.relative_to(written)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    return tmp_path / "shop"


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and windows small enough that a split of 5,000 rows has many."""
    monkeypatch.setattr(order, "BLOCK_ROWS", 128)
    monkeypatch.setattr(order, "WINDOW_ROWS", 512)


def numbers(batches: Iterable[Batch]) -> list[int]:
    return [number for batch in batches for number in batch.ids_BN[:, 0].tolist()]


def assert_same(got: Iterator[Batch], expected: Iterator[Batch]) -> None:
    for left, right in zip(got, expected, strict=True):
        assert torch.equal(left.ids_BN, right.ids_BN)
        assert torch.equal(left.label_B, right.label_B)


@pytest.mark.parametrize("name", SPLIT_NAMES)
@pytest.mark.parametrize("batch_size", [1_000, 64, 700, 10_000])
def test_in_order_gives_the_rows_as_written(dataset: Dataset, name: str, batch_size: int) -> None:
    ids_BN, label_B = split_rows(name)
    split = dataset.split(name)
    batches = list(split.in_order(batch_size))
    np.testing.assert_array_equal(torch.cat([batch.ids_BN for batch in batches]).numpy(), ids_BN)
    np.testing.assert_array_equal(torch.cat([batch.label_B for batch in batches]).numpy(), label_B.astype(np.float32))
    np.testing.assert_array_equal(split.labels(), label_B)
    assert {(batch.ids_BN.dtype, batch.label_B.dtype) for batch in batches} == {(torch.int32, torch.float32)}
    assert len(batches) == split.batches(batch_size)
    assert all(len(batch.label_B) == batch_size for batch in batches[:-1])
    assert (split.rows, split.positives, split.info.base_rate) == (len(label_B), label_B.sum(), label_B.mean())


@pytest.mark.usefixtures("small_windows")
@settings(max_examples=25, deadline=None)
@given(batch_size=st.integers(50, 6_000), seed=st.integers(0, 2**32), epoch=st.integers(0, 50), data=st.data())
def test_an_epoch_holds_every_row_once_and_resumes_at_any_batch(
    written: Path, batch_size: int, seed: int, epoch: int, data: st.DataObject
) -> None:
    train = Dataset.open(written).split("train")
    whole = list(train.epoch(batch_size, seed, epoch))
    assert sorted(numbers(whole)) == list(range(ROWS["train"]))
    assert len(whole) == train.batches(batch_size)
    assert all(len(batch.label_B) == batch_size for batch in whole[:-1])
    start = data.draw(st.integers(0, len(whole) + 1))
    assert_same(train.epoch(batch_size, seed, epoch, start), iter(whole[start:]))


@pytest.mark.parametrize("batch_size", [64, 999])
def test_rows_keep_their_labels(train: Split, batch_size: int) -> None:
    ids_BN, label_B = split_rows("train")
    for batch in train.epoch(batch_size, seed=3, epoch=1):
        chosen = batch.ids_BN[:, 0].numpy()
        np.testing.assert_array_equal(batch.ids_BN.numpy(), ids_BN[chosen])
        np.testing.assert_array_equal(batch.label_B.numpy(), label_B[chosen])


@pytest.mark.usefixtures("small_windows")
def test_orders_differ_between_epochs_and_seeds_and_from_the_file(train: Split) -> None:
    orders = {tuple(numbers(train.epoch(100, seed, epoch))) for seed in range(3) for epoch in range(4)}
    assert len(orders | {tuple(range(ROWS["train"]))}) == 13


def test_a_split_within_one_window_is_permuted_over_all_its_shards(train: Split) -> None:
    """A row's place in the file says nothing of its place in the epoch: over 5,000 rows they do not correlate."""
    got = np.array(numbers(train.epoch(64, seed=0, epoch=0)))
    correlation = np.corrcoef(got, np.arange(len(got)))[0, 1]
    assert abs(correlation) < 5 / np.sqrt(len(got))
    assert np.unique(got[:700] // SHARD_ROWS).size == 8


@pytest.mark.usefixtures("small_windows")
def test_a_window_mixes_blocks_of_all_shards(train: Split) -> None:
    shards = [np.unique(np.array(numbers([batch])) // SHARD_ROWS).size for batch in train.epoch(512, seed=0, epoch=0)]
    assert max(shards) >= 3
    assert min(shards[:-1]) >= 2


def test_the_default_window_is_four_blocks_of_65536_rows() -> None:
    window_rows = order.RowOrder((65_536 * 40,), seed=0, epoch=0).window_rows
    assert window_rows == (262_144,) * 10
    uneven = order.RowOrder((1_000_000, 300_000), seed=0, epoch=0).window_rows
    assert sum(uneven) == 1_300_000
    assert max(uneven) <= 262_144


@pytest.mark.usefixtures("small_windows")
def test_resuming_reads_no_window_before_the_start(train: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    permutation = order.RowOrder.permutation
    monkeypatch.setattr(
        order.RowOrder, "permutation", lambda self, number: opened.append(number) or permutation(self, number)
    )
    next(train.epoch(100, seed=0, epoch=0, start_batch=40))
    assert len(opened) <= 2
    assert opened[0] >= 7


def test_batches_in_order_are_views_of_the_mapped_file(train: Split, written: Path) -> None:
    """The tensors' addresses lie inside this process's mapping of the shard's file."""
    batch = next(train.in_order(100))
    shard = str((written / "train" / "00000.arrow").resolve())
    spans = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines() if shard in line]
    assert any(int(low, 16) <= batch.ids_BN.data_ptr() < int(high, 16) for low, high in spans)


def test_reading_warns_of_nothing(written: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train = Dataset.open(written).split("train")
        list(train.in_order(300))
        list(train.epoch(300, 0, 0))


def test_shuffled_batches_may_be_written(train: Split) -> None:
    next(train.epoch(64, seed=0, epoch=0)).ids_BN.zero_()
    assert sorted(numbers(train.in_order(1_000))) == list(range(ROWS["train"]))


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("batch_size", [64, 513, 9_000])
@pytest.mark.parametrize("start_batch", [0, 3])
def test_splits_on_a_device_give_the_same_batches(train: Split, batch_size: int, start_batch: int) -> None:
    elsewhere = (ResidentSplit.load(train, CPU), StreamedSplit(train.info, train.shards, CPU))
    for split in elsewhere:
        assert_same(split.in_order(batch_size), train.in_order(batch_size))
        assert_same(split.epoch(batch_size, 5, 2, start_batch), train.epoch(batch_size, 5, 2, start_batch))
        np.testing.assert_array_equal(split.labels(), train.labels())
        assert (split.rows, split.positives, split.batches(64)) == (train.rows, train.positives, train.batches(64))


def test_on_the_cpu_a_split_is_resident_as_it_is(train: Split) -> None:
    assert train.resident(CPU) is train


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_a_split_is_held_or_streamed(train: Split) -> None:
    device = torch.device("cuda")
    resident = train.resident(device)
    assert isinstance(resident, ResidentSplit)
    for split in (resident, StreamedSplit(train.info, train.shards, device)):
        batches = list(split.epoch(300, 1, 1))
        assert {batch.ids_BN.device.type for batch in batches} == {"cuda"}
        assert numbers(batches) == numbers(train.epoch(300, 1, 1))


def test_counts_are_those_of_the_train_split(dataset: Dataset) -> None:
    ids_BN, _ = split_rows("train")
    for index, count_V in enumerate(dataset.counts()):
        np.testing.assert_array_equal(count_V, np.bincount(ids_BN[:, index]))
        assert count_V.dtype == np.int64


def test_a_dataset_is_named_by_absolute_path_and_fingerprint(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(written.parent)
    ref = Dataset.open("shop").ref()
    assert (ref.path, ref.fingerprint) == (str(written), read_manifest(written).fingerprint)


def test_a_whole_dataset_verifies(dataset: Dataset) -> None:
    dataset.verify()


@pytest.mark.parametrize("shard", ["train/00003.arrow", "test/00000.arrow"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_shard_is_named(copy: Path, shard: str, share: float) -> None:
    content = (copy / shard).read_bytes()
    (copy / shard).write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=rf"{shard} is missing or truncated"):
        Dataset.open(copy)


def test_a_shard_with_a_hole_is_named(copy: Path) -> None:
    content = (copy / "train/00001.arrow").read_bytes()
    (copy / "train/00001.arrow").write_bytes(content[:2_000] + content[4_000:])
    with pytest.raises(DataError, match=r"train/00001\.arrow is missing or truncated"):
        Dataset.open(copy)


def test_a_missing_shard_is_named(copy: Path) -> None:
    (copy / "train/00002.arrow").unlink()
    with pytest.raises(DataError, match=r"train/00002\.arrow is missing"):
        Dataset.open(copy)


def test_a_shard_of_another_size_is_named(copy: Path) -> None:
    (copy / "train/00000.arrow").write_bytes((copy / "train/00007.arrow").read_bytes())
    with pytest.raises(DataError, match=r"train/00000\.arrow is not the shard.* it has 100 rows.*expected 700 rows"):
        Dataset.open(copy)


def test_a_shard_with_other_columns_is_named(copy: Path) -> None:
    table = pa.table({"ids": pa.array(range(37)), "label": pa.array([0] * 37, pa.uint8())})
    with pa.ipc.new_file(copy / "valid/00000.arrow", table.schema) as sink:
        sink.write_table(table)
    with pytest.raises(DataError, match=r"valid/00000\.arrow is not the shard.*expected 37 rows of 3 ids"):
        Dataset.open(copy)


@pytest.mark.parametrize("hole", ["ids", "label"])
def test_a_shard_that_lacks_a_value_is_named(copy: Path, hole: str) -> None:
    path = copy / "valid/00000.arrow"
    batch = pa.ipc.open_file(pa.BufferReader(path.read_bytes())).get_batch(0)
    ids, label = (part.tolist() for part in (batch.column("ids").values.to_numpy(), batch.column("label").to_numpy()))
    (ids if hole == "ids" else label)[5] = None
    flat = pa.array(ids, pa.int32())
    columns = [
        pa.FixedSizeListArray.from_arrays(flat, type=batch.schema.field("ids").type),
        pa.array(label, pa.uint8()),
    ]
    with pa.ipc.new_file(path, batch.schema) as sink:
        sink.write_batch(pa.record_batch(columns, schema=batch.schema))
    with pytest.raises(
        DataError, match=r"valid/00000\.arrow lacks a value; expected 3 ids and a label in each of its 37"
    ):
        Dataset.open(copy)


def test_one_changed_bit_is_found_by_verify(copy: Path) -> None:
    content = bytearray((copy / "train/00005.arrow").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "train/00005.arrow").write_bytes(content)
    with pytest.raises(DataError, match=r"train/00005\.arrow does not match its checksum"):
        Dataset.open(copy).verify()


@pytest.mark.parametrize(("column", "value"), [("ids", -1), ("ids", 10**6), ("label", 2)])
def test_a_value_that_no_model_could_take_is_named_before_training(copy: Path, column: str, value: int) -> None:
    path = copy / "valid/00000.arrow"
    batch = pa.ipc.open_file(pa.BufferReader(path.read_bytes())).get_batch(0)
    ids, label = (np.array(part) for part in (batch.column("ids").values, batch.column("label")))
    (ids if column == "ids" else label)[5] = value
    columns = [pa.FixedSizeListArray.from_arrays(pa.array(ids), type=batch.schema.field("ids").type), pa.array(label)]
    with pa.ipc.new_file(path, batch.schema) as sink:
        sink.write_batch(pa.record_batch(columns, schema=batch.schema))
    with pytest.raises(DataError, match=r"valid/00000\.arrow holds ids outside the manifest's vocabularies, or labels"):
        Dataset.open(copy).check_rows()


def reseal(folder: Path, manifest: Manifest) -> None:
    write_manifest(folder, sealed(manifest))


@pytest.mark.parametrize("outside", ["../elsewhere.arrow", "/etc/passwd", "train/../../elsewhere.arrow"])
def test_a_shard_outside_the_folder_is_refused(copy: Path, outside: str) -> None:
    (copy / "train/00000.arrow").rename(copy.parent / "elsewhere.arrow")
    manifest = read_manifest(copy)
    first = manifest.splits[0]
    shards = (dataclasses.replace(first.shards[0], path=outside), *first.shards[1:])
    splits = (dataclasses.replace(first, shards=shards), *manifest.splits[1:])
    reseal(copy, dataclasses.replace(manifest, splits=splits))
    with pytest.raises(DataError, match="outside its own folder"):
        Dataset.open(copy)


def test_a_link_out_of_the_folder_is_refused(copy: Path) -> None:
    (copy / "train/00000.arrow").rename(copy.parent / "elsewhere.arrow")
    (copy / "train/00000.arrow").symlink_to(copy.parent / "elsewhere.arrow")
    with pytest.raises(DataError, match="outside its own folder"):
        Dataset.open(copy)


def test_a_vocabulary_that_is_not_the_manifests_is_named(copy: Path) -> None:
    path = vocabulary_path(copy, 1, "f1")
    pq.write_table(pq.read_table(path).slice(0, 2), path)
    with pytest.raises(DataError, match=r"f1\.parquet has 2 ids counted .* expected 3 ids and 5000 train rows"):
        Dataset.open(copy).counts()
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"f1\.parquet cannot be read as a vocabulary"):
        Dataset.open(copy).verify()
    path.unlink()
    with pytest.raises(DataError, match=r"f1\.parquet cannot be read as a vocabulary"):
        Dataset.open(copy).counts()
