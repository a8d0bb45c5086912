"""Every bad input ends in one line that names file, row and what was expected, and leaves nothing behind."""

import gzip
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recscale.data import counting, lines, vocabulary
from recscale.data import prepare as prepare_module
from recscale.data.options import PrepareOptions
from recscale.data.prepare import prepare
from recscale.data.sources.criteo import CriteoSource
from recscale.data.sources.table import TableSource
from recscale.errors import ConfigError, DataError


def good(number):
    return "\t".join(
        [str(number % 2), *(str(number % 7) for _ in range(13)), *(f"{number % 5:08x}" for _ in range(26))]
    )


def content(bad=None, count=40):
    lines = [good(number) for number in range(count)]
    if bad is not None:
        lines[11] = bad
    return ("\n".join(lines) + "\n").encode()


def refused(tmp_path, raw, name="train.txt", options=None):
    """The message of a refused preparation, which must be one line and leave no file beside the source."""
    path = tmp_path / "raw" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(raw)
    out = tmp_path / "out"
    with pytest.raises(DataError) as error:
        prepare(CriteoSource(path), out / "dataset", options or PrepareOptions(min_count=1))
    assert not out.exists() or list(out.iterdir()) == []
    message = str(error.value)
    assert "\n" not in message
    return message


def changed(number, column, value):
    cells = good(number).split("\t")
    cells[column] = value
    return "\t".join(cells)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1\t2\t3", "train.txt, row 12: got 3 columns, expected 40; 1 of 40 rows cannot be used"),
        (good(1) + "\textra", "train.txt, row 12: got 41 columns, expected 40; 1 of 40 rows"),
        (changed(1, 0, "yes"), "train.txt, row 12: label 'label' is 'yes', expected 0 or 1; 1 of 40"),
        (changed(1, 0, "2"), "train.txt, row 12: label 'label' is '2', expected 0 or 1; 1 of 40"),
        (changed(1, 0, ""), "train.txt, row 12: label 'label' is '', expected 0 or 1; 1 of 40"),
        (changed(1, 3, "many"), "train.txt, row 12: column 'I3' is 'many', expected a number or nothing; 1 of 40"),
    ],
)
@pytest.mark.parametrize("name", ["train.txt", "train.txt.gz"])
def test_a_bad_row_is_named(tmp_path, line, expected, name):
    raw = content(line)
    message = refused(tmp_path, gzip.compress(raw) if name.endswith(".gz") else raw, name)
    assert expected.replace("train.txt", name) in message
    assert "--max-bad-rows" in message


def test_a_line_that_is_not_utf8_is_named(tmp_path):
    message = refused(tmp_path, content(changed(1, 20, "XX")).replace(b"XX", b"\xff\xfe"))
    assert "train.txt, row 12: not UTF-8 text; expected UTF-8" in message


def test_an_empty_file(tmp_path):
    assert "train.txt is empty; expected lines of text" in refused(tmp_path, b"")
    assert "train.txt.gz is empty" in refused(tmp_path, gzip.compress(b"\n \n"), "train.txt.gz")


def test_a_binary_file(tmp_path):
    assert "train.txt is a binary file (a NUL at byte 0)" in refused(tmp_path, bytes(range(256)) * 100)


def test_a_truncated_gz(tmp_path):
    packed = gzip.compress(os.urandom(1000).hex().encode() + content())
    assert "train.txt.gz is a truncated .gz file" in refused(tmp_path, packed[: len(packed) // 2], "train.txt.gz")


def test_a_gz_that_is_none(tmp_path):
    assert "train.txt.gz is not a valid .gz file" in refused(tmp_path, content(), "train.txt.gz")


def test_a_gz_with_a_wrong_checksum(tmp_path):
    packed = bytearray(gzip.compress(content()))
    packed[-6] ^= 1
    assert "train.txt.gz is not a valid .gz file" in refused(tmp_path, bytes(packed), "train.txt.gz")


def test_a_source_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"nothing.txt does not exist; expected a file or a folder"):
        prepare(CriteoSource(tmp_path / "nothing.txt"), tmp_path / "dataset", PrepareOptions())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty is a folder without files"):
        prepare(CriteoSource(tmp_path / "empty"), tmp_path / "dataset", PrepareOptions())


def test_too_few_rows_to_split(tmp_path):
    assert "the splits would have {'train': 3, 'valid': 0, 'test': 0} rows" in refused(tmp_path, content(count=3))


def test_labels_of_one_kind(tmp_path):
    raw = ("\n".join(good(2 * number) for number in range(40)) + "\n").encode()
    assert "all 40 usable rows have the label 0; expected both 0 and 1" in refused(tmp_path, raw)


def test_few_bad_rows_are_counted_sampled_and_left_out(tmp_path):
    path = tmp_path / "train.txt"
    lines = [good(number) for number in range(3000)]
    for row, bad in (
        (7, "1\t2"),
        (7 + 1000, changed(3, 0, "x")),
        (2500, changed(3, 0, "x")),
        (2501, changed(4, 2, "y")),
    ):
        lines[row] = bad
    path.write_text("\n".join(lines))
    manifest = prepare(CriteoSource(path), tmp_path / "dataset", PrepareOptions(max_bad_rows=0.002))
    assert (manifest.source.rows, manifest.source.rejected_rows) == (3000, 4)
    assert sum(split.rows for split in manifest.splits) == 2996
    rejected = pq.read_table(tmp_path / "dataset" / "rejected.parquet").to_pylist()
    assert [row["text"] for row in rejected] == [lines[7], lines[1007], lines[2500], lines[2501]]
    assert [row["row"] for row in rejected] == [8, 1008, 2501, 2502]
    assert rejected[0]["reason"] == "got 2 columns, expected 40"
    assert {Path(row["file"]).name for row in rejected} == {"train.txt"}


def test_the_limit_is_a_share_of_all_rows(tmp_path):
    lines = [good(number) for number in range(2000)]
    lines[100] = lines[900] = "1\t2"
    (tmp_path / "train.txt").write_text("\n".join(lines))
    prepare(CriteoSource(tmp_path / "train.txt"), tmp_path / "dataset", PrepareOptions())
    lines[1500] = "1\t2"
    message = refused(tmp_path, "\n".join(lines).encode())
    assert "row 101: got 2 columns" in message
    assert "3 of 2000 rows cannot be used, more than the allowed share 0.001" in message


def test_identical_bad_rows_and_rows_with_several_faults_are_each_counted_once(tmp_path):
    bad = {5: changed(1, 0, "x"), 6: changed(1, 0, "x"), 9: "1\t2\t3", 10: "1\t2\t3"}
    bad |= {20: "\t".join(["x"] * 40), 21: "\t".join(["x"] * 40), 30: "\t".join(["x"] * 45)}
    lines = [bad.get(number, good(number)) for number in range(60)]
    (tmp_path / "train.txt").write_text("\n".join(lines))
    manifest = prepare(CriteoSource(tmp_path / "train.txt"), tmp_path / "dataset", PrepareOptions(max_bad_rows=0.5))
    assert manifest.source.rejected_rows == len(bad)
    assert manifest.source.rows == 60
    rejected = pq.read_table(tmp_path / "dataset" / "rejected.parquet").to_pylist()
    assert [row["row"] for row in rejected] == [row + 1 for row in sorted(bad)]


def test_a_quote_that_is_never_closed_swallows_nothing_silently(tmp_path):
    lines = [f'{number % 2},"a{number}"' for number in range(100)]
    lines[50] = '1,"never closed'
    (tmp_path / "t.csv").write_text("label,c\n" + "\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"t\.csv, row \d+: "):
        prepare(TableSource(tmp_path / "t.csv"), tmp_path / "dataset", PrepareOptions(min_count=1))
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_an_unwritable_destination(tmp_path):
    (tmp_path / "train.txt").write_bytes(content())
    (tmp_path / "file").write_text("in the way")
    for dest in (tmp_path / "file" / "dataset", Path("/proc/nowhere/dataset")):
        with pytest.raises(DataError, match="cannot write dataset"):
            prepare(CriteoSource(tmp_path / "train.txt"), dest, PrepareOptions())
    with pytest.raises(DataError, match="already exists and is not an empty folder"):
        prepare(CriteoSource(tmp_path / "train.txt"), tmp_path / "file", PrepareOptions())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "train.txt"]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from recscale.data.options import PrepareOptions
from recscale.data.prepare import prepare
from recscale.data.sources.criteo import CriteoSource
from recscale.errors import DataError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    prepare(CriteoSource(Path(sys.argv[1])), Path(sys.argv[2]), PrepareOptions(min_count=1))
except DataError as error:
    print(error)
    sys.exit(7)
"""


@pytest.mark.parametrize("limit", [2_000, 200_000])
def test_a_disk_that_takes_no_more(tmp_path, limit):
    """A limit on file size stands for a full disk; the smaller stops staging, the larger one of the shards."""
    (tmp_path / "raw").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "raw" / "train.txt").write_bytes(content(count=3000))
    command = [sys.executable, "-c", FULL_DISK, tmp_path / "raw" / "train.txt", tmp_path / "out" / "d", str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
    assert "cannot write" in done.stdout
    assert done.stdout.count("\n") == 1
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("step", ["stage", "_place", "_write_rows"])
def test_an_interruption_leaves_nothing(tmp_path, monkeypatch, step):
    (tmp_path / "train.txt").write_bytes(content())
    original = getattr(prepare_module, step)

    def interrupted(*arguments):
        original(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare_module, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(CriteoSource(tmp_path / "train.txt"), tmp_path / "dataset", PrepareOptions(min_count=1))
    assert [path.name for path in tmp_path.iterdir()] == ["train.txt"]


@pytest.mark.parametrize(("module", "name"), [(counting, "train_rows"), (vocabulary, "chunk_counts")])
def test_an_interruption_while_values_are_counted_stays_one(tmp_path, monkeypatch, module, name):
    (tmp_path / "train.txt").write_bytes(content(count=5000))
    monkeypatch.setattr(lines, "BLOCK_BYTES", 20_000)
    original = getattr(module, name)

    def interrupted(chunk, *rest):
        if chunk.start > 0:
            raise KeyboardInterrupt
        return original(chunk, *rest)

    monkeypatch.setattr(module, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(CriteoSource(tmp_path / "train.txt"), tmp_path / "dataset", PrepareOptions(min_count=1))
    assert [path.name for path in tmp_path.iterdir()] == ["train.txt"]


@pytest.mark.parametrize(
    "options",
    [
        {"min_count": 0},
        {"hash_buckets": 0},
        {"num_quantiles": 1},
        {"split_fractions": (0.8, 0.1, 0.2)},
        {"split_fractions": (1.0, 0.0, 0.0)},
        {"max_bad_rows": 1.5},
        {"seed": -1},
        {"memory_limit": "much"},
    ],
)
def test_options_that_cannot_be_honoured(options):
    with pytest.raises(ConfigError, match=f"{next(iter(options))} (is|are) .*; expected"):
        PrepareOptions(**options)


def test_memory_that_does_not_suffice_is_a_data_error(tmp_path):
    lines = itertools.islice((f"{n % 2},{n:040d}\n" for n in itertools.count()), 50_000)
    (tmp_path / "t.csv").write_text("label,c\n" + "".join(lines))
    with pytest.raises(DataError, match="--memory-limit"):
        prepare(TableSource(tmp_path / "t.csv"), tmp_path / "dataset", PrepareOptions(memory_limit="1MB"))
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
