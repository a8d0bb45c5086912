"""The writer makes whole datasets or none."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recscale.data.manifest import SPLIT_NAMES, FieldInfo, Manifest, SourceInfo, read_manifest
from recscale.data.writer import DatasetWriter, vocabulary_path
from recscale.errors import DataError

FIELDS = (FieldInfo("user", "categorical", 6, 1), FieldInfo("a/b: c", "categorical", 4, 1))
SOURCE = SourceInfo("table", ("clicks.csv",), 0, 0, 0)


def rows(num_rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    ids_BN = np.stack([rng.integers(0, field.vocabulary_size, num_rows) for field in FIELDS], axis=1)
    return ids_BN.astype(np.int32), rng.integers(0, 2, num_rows).astype(np.uint8)


def write_vocabularies(writer: DatasetWriter, ids_BN: np.ndarray) -> None:
    for index, field in enumerate(FIELDS):
        values = pa.array([None, *(f"value {number}" for number in range(1, field.vocabulary_size))])
        counts = np.bincount(ids_BN[:, index], minlength=field.vocabulary_size)
        writer.write_vocabulary(field.name, index, values, counts)


def write_whole(
    dest: Path,
    ids_BN: np.ndarray,
    label_B: np.ndarray,
    shard_rows: int = 1_000,
    step: int = 64,
    splits: tuple[str, ...] = SPLIT_NAMES,
    counted: slice = slice(None),
) -> Manifest:
    with DatasetWriter(dest, shard_rows) as writer:
        for split in splits:
            for start in range(0, len(label_B), step):
                writer.write_rows(split, ids_BN[start : start + step], label_B[start : start + step])
        write_vocabularies(writer, ids_BN[counted])
        return writer.finish(FIELDS, SOURCE, {"b": "2", "a": "1"}, None)


def read_split(folder: Path, manifest: Manifest, split: str) -> tuple[np.ndarray, np.ndarray]:
    batches = [pa.ipc.open_file(folder / shard.path).get_batch(0) for shard in manifest.split(split).shards]
    ids_BN = np.concatenate([np.stack(batch.column("ids").to_numpy(zero_copy_only=False)) for batch in batches])
    return ids_BN, np.concatenate([batch.column("label").to_numpy() for batch in batches])


@settings(max_examples=15, deadline=None)
@given(num_rows=st.integers(1, 300), shard_rows=st.integers(1, 120), step=st.integers(1, 300))
def test_rows_come_back_in_order_however_they_are_cut(
    tmp_path_factory: pytest.TempPathFactory, num_rows: int, shard_rows: int, step: int
) -> None:
    dest = tmp_path_factory.mktemp("cut") / "dataset"
    ids_BN, label_B = rows(num_rows)
    manifest = write_whole(dest, ids_BN, label_B, shard_rows, step)
    for split in SPLIT_NAMES:
        shards = manifest.split(split).shards
        assert [shard.rows for shard in shards[:-1]] == [shard_rows] * (len(shards) - 1)
        assert manifest.split(split).positives == label_B.sum()
        got_ids_BN, got_label_B = read_split(dest, manifest, split)
        np.testing.assert_array_equal(got_ids_BN, ids_BN)
        np.testing.assert_array_equal(got_label_B, label_B)


def test_the_folder_holds_the_format_and_nothing_else(tmp_path: Path) -> None:
    manifest = write_whole(tmp_path / "shop", *rows(10))
    assert read_manifest(tmp_path / "shop") == manifest
    assert (manifest.name, manifest.options) == ("shop", (("a", "1"), ("b", "2")))
    assert os.listdir(tmp_path) == ["shop"]
    assert sorted(os.listdir(tmp_path / "shop")) == ["manifest.json", "test", "train", "valid", "vocabulary"]
    batch = pa.ipc.open_file(tmp_path / "shop" / "train" / "00000.arrow").get_batch(0)
    assert batch.schema.field("ids").type.list_size == len(FIELDS)
    assert [str(kind) for kind in (batch.schema.field("ids").type.value_type, batch.schema.field("label").type)] == [
        "int32",
        "uint8",
    ]


def test_a_vocabulary_says_value_and_train_count_of_every_id(tmp_path: Path) -> None:
    ids_BN, label_B = rows(50)
    write_whole(tmp_path / "shop", ids_BN, label_B)
    table = pq.read_table(vocabulary_path(tmp_path / "shop", 0, "user"))
    assert table.schema.names == ["id", "value", "count"]
    assert table["id"].to_pylist() == list(range(6))
    assert table["value"].to_pylist() == [None, *(f"value {number}" for number in range(1, 6))]
    assert table["count"].to_pylist() == np.bincount(ids_BN[:, 0], minlength=6).tolist()


@given(names=st.lists(st.text(max_size=300), min_size=2, max_size=6, unique=True))
def test_vocabulary_files_are_distinct_and_stay_in_their_folder(names: list[str]) -> None:
    folder = Path("dataset")
    paths = [vocabulary_path(folder, index, name) for index, name in enumerate(names)]
    assert len(set(paths)) == len(names)
    assert all(path.parent == folder / "vocabulary" and len(path.name.encode()) < 120 for path in paths)


def test_plain_names_keep_their_name() -> None:
    assert vocabulary_path(Path("d"), 3, "C26").name == "C26.parquet"


def test_a_spill_folder_and_rejected_rows(tmp_path: Path) -> None:
    ids_BN, label_B = rows(10)
    with DatasetWriter(tmp_path / "shop") as writer:
        (writer.folder / "spill").mkdir()
        (writer.folder / "spill" / "sorted.tmp").write_text("large")
        for split in SPLIT_NAMES:
            writer.write_rows(split, ids_BN, label_B)
        write_vocabularies(writer, ids_BN)
        writer.write_rejected(pa.table({"line": [7], "reason": ["too short"]}))
        writer.finish(FIELDS, SOURCE, {}, None)
    assert not (tmp_path / "shop" / "spill").exists()
    assert pq.read_table(tmp_path / "shop" / "rejected.parquet")["line"].to_pylist() == [7]


def test_a_taken_destination_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="already exists"):
        DatasetWriter(tmp_path / "shop")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="already exists"):
        DatasetWriter(tmp_path / "file")
    assert sorted(os.listdir(tmp_path)) == ["file", "shop"]


def test_an_empty_folder_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    write_whole(tmp_path / "shop", *rows(10))
    assert (tmp_path / "shop" / "manifest.json").is_file()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_writer_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def write() -> None:
        with DatasetWriter(tmp_path / "shop", shard_rows=4) as writer:
            writer.write_rows("train", *rows(10))
            assert (writer.folder / "train" / "00000.arrow").is_file()
            raise error

    with pytest.raises(error):
        write()
    assert os.listdir(tmp_path) == []


def test_a_writer_that_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "shop") as writer:
        writer.write_rows("train", *rows(10))
    assert os.listdir(tmp_path) == []


def test_an_empty_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the test split of .* would be empty"):
        write_whole(tmp_path / "d", *rows(10), splits=("train", "valid"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("split", SPLIT_NAMES)
def test_an_id_above_its_vocabulary_is_named(tmp_path: Path, split: str) -> None:
    ids_BN, label_B = rows(10)
    ids_BN[:, 1] = 3
    with DatasetWriter(tmp_path / "d") as writer:
        for name in SPLIT_NAMES:
            writer.write_rows(name, ids_BN + (np.int32([0, 1]) if name == split else 0), label_B)
        write_vocabularies(writer, ids_BN)
        with pytest.raises(DataError, match=rf"'a/b: c' has id 4 in the {split} split.*below its vocabulary size 4"):
            writer.finish(FIELDS, SOURCE, {}, None)


def test_rows_that_are_not_encoded_are_refused(tmp_path: Path) -> None:
    ids_BN, label_B = rows(10)
    with DatasetWriter(tmp_path / "d") as writer:
        with pytest.raises(DataError, match="negative id"):
            writer.write_rows("train", ids_BN - 10, label_B)
        with pytest.raises(DataError, match="neither 0 nor 1"):
            writer.write_rows("train", ids_BN, label_B + 1)
        with pytest.raises(DataError, match=r"shape \(10, 1\)"):
            writer.write_rows("train", ids_BN[:, :1], label_B)
        with pytest.raises(DataError, match="no split 'dev'"):
            writer.write_rows("dev", ids_BN, label_B)


def test_counts_must_be_those_of_the_train_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="vocabulary of field 'user'"):
        write_whole(tmp_path / "d", *rows(10), counted=slice(9))


def test_an_unwritable_parent_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write dataset"), DatasetWriter(tmp_path / "file" / "shop"):
        pass


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from recscale.data.writer import DatasetWriter
from recscale.errors import DataError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    with DatasetWriter(Path(sys.argv[1])) as writer:
        writer.write_rows("train", np.zeros((100_000, 4), np.int32), np.zeros(100_000, np.uint8))
        writer.finish((), None, {}, None)
except DataError as error:
    print(error)
"""


def test_a_disk_that_takes_no_more_is_one_data_error_and_leaves_nothing(tmp_path: Path) -> None:
    """The kernel refuses a file above RLIMIT_FSIZE as it refuses one on a full disk: in the middle of a write."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "shop")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"cannot write dataset {tmp_path / 'shop'}: File too large")
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert os.listdir(tmp_path) == []
