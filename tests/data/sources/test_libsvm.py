from itertools import chain

import pytest

from recscale.data.sources.libsvm import IdSpace, LibsvmSource
from recscale.errors import ConfigError, DataError


def rows(start, stop, offset):
    return [
        (str(int(n % 3 == 0)), str(n % 4), str(offset + n % 6), str(2 * offset + n % 2)) for n in range(start, stop)
    ]


def lines(table, negative="0"):
    return "".join(
        f"{'1' if row[0] == '1' else negative} " + " ".join(f"{v}:1" for v in row[1:]) + "\n" for row in table
    )


@pytest.mark.parametrize(("ids", "offset"), [(IdSpace.GLOBAL, 10), (IdSpace.PER_FIELD, 0)])
@pytest.mark.parametrize("negative", ["0", "-1"])
def test_a_whole_file_is_split_at_random(write, prepared, ids, offset, negative):
    table = rows(0, 40, offset)
    manifest, got = prepared(LibsvmSource(write("data.libsvm.gz", lines(table, negative)), ids=ids))
    assert sorted(chain.from_iterable(got.values())) == sorted(table)
    assert [len(got[split]) for split in ("train", "valid", "test")] == [32, 4, 4]
    assert [field.name for field in manifest.fields] == ["field_1", "field_2", "field_3"]


def test_predefined_splits_are_kept(write, prepared):
    parts = {"train": rows(0, 20, 10), "valid": rows(20, 27, 10), "test": rows(27, 40, 10)}
    files = {split: write(f"{split}.libfm", lines(table, "-1")) for split, table in parts.items()}
    _, got = prepared(LibsvmSource(**files))
    assert {split: sorted(table) for split, table in got.items()} == {s: sorted(table) for s, table in parts.items()}


def test_blank_lines_comments_and_spaces_are_no_rows(write, prepared):
    table = rows(0, 40, 10)
    text = "\n" + lines(table).replace(":1 ", ":1   ").replace("\n", " # a comment\n\n")
    manifest, got = prepared(LibsvmSource(write("data.txt", text)))
    assert manifest.source.rows == 40
    assert sorted(chain.from_iterable(got.values())) == sorted(table)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 1:1 11:1 20:1", "label is '2', expected 0 or 1, or -1 and 1"),
        ("1 1:1 11:1", "got 2 pairs, expected 3"),
        ("1 1:1 11:1 20:1 30:1", "got 4 pairs, expected 3"),
        ("1 1:1 11:0.5 20:1", "got '11:0.5', expected id:1"),
        ("1 1:1 x:1 20:1", "got 'x:1', expected id:1"),
        ("1 1 2 3", "got '1', expected id:1"),
    ],
)
def test_a_bad_line_is_reported_with_its_number(write, prepared, line, message):
    text = lines(rows(0, 20, 10)) + "\n" + line + "\n" + lines(rows(20, 40, 10))
    with pytest.raises(DataError, match=f"data.txt, row 22: {message}; 1 of 41 rows cannot be used"):
        prepared(LibsvmSource(write("data.txt", text)))


def test_an_id_in_two_fields_is_refused_unless_ids_are_per_field(write, prepared):
    path = write("data.txt", lines(rows(0, 40, 1)))
    with pytest.raises(DataError, match=r"id \d stands in field \d and in field \d; .* use --ids per_field"):
        prepared(LibsvmSource(path))
    prepared(LibsvmSource(path, ids=IdSpace.PER_FIELD))


def test_half_a_set_of_splits_is_refused(write, prepared):
    path = write("train.txt", lines(rows(0, 40, 10)))
    with pytest.raises(ConfigError, match="no source and no file for valid, test"):
        prepared(LibsvmSource(train=path))
    with pytest.raises(ConfigError, match=r"got a whole source .* and files for train"):
        prepared(LibsvmSource(path, train=path))
