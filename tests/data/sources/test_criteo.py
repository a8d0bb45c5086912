import math
from itertools import chain

import pytest

from recscale.data.options import PrepareOptions
from recscale.data.sources.criteo import CriteoSource


def line(number):
    integers = ["" if (number + i) % 5 == 0 else str(number * i - 3) for i in range(13)]
    return [str(int(number % 3 == 0)), *integers, *(f"{number % (i + 2):08x}" if i else "" for i in range(26))]


def paper_rule(text):
    if text == "":
        return ""
    value = int(text)
    return str(value - 2) if value <= 2 else str(math.floor(math.log(value) ** 2))


@pytest.mark.parametrize("name", ["train.txt", "train.txt.gz", "folder"])
def test_every_row_arrives_with_the_papers_numbers(write, prepared, name):
    rows = [line(number) for number in range(60)]
    texts = ["\t".join(row) + "\n" for row in rows]
    if name == "folder":
        write("folder/day_0", "".join(texts[:25]))
        write("folder/day_1.gz", "".join(texts[25:]))
        path = write("folder/_SUCCESS", "").parent
    else:
        path = write(name, "".join(texts))
    manifest, got = prepared(CriteoSource(path))
    expected = [(row[0], *(paper_rule(value) for value in row[1:14]), *row[14:]) for row in rows]
    assert sorted(chain.from_iterable(got.values())) == sorted(expected)
    assert [field.name for field in manifest.fields] == [f"I{i}" for i in range(1, 14)] + [
        f"C{i}" for i in range(1, 27)
    ]
    assert [len(got[split]) for split in ("train", "valid", "test")] == [48, 6, 6]


def test_the_default_threshold_is_ten(write, prepared):
    path = write("train.txt", "".join("\t".join(line(number)) + "\n" for number in range(60)))
    manifest, _ = prepared(CriteoSource(path), PrepareOptions())
    assert {field.min_count for field in manifest.fields} == {10}
    assert dict(manifest.options)["min_count"] == "10"


def test_windows_line_ends_and_a_missing_last_line_end_change_nothing(write, prepared, decoded, tmp_path):
    rows = ["\t".join(line(number)) for number in range(60)]
    unix, _ = prepared(CriteoSource(write("a/train.txt", "\n".join(rows) + "\n")))
    (tmp_path / "out" / "dataset").rename(tmp_path / "first")
    windows, _ = prepared(CriteoSource(write("b/train.txt", "\r\n".join(rows))))
    assert windows.fingerprint == unix.fingerprint
