import math
from itertools import chain

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from recscale.data.options import PrepareOptions
from recscale.data.sources.table import TableSource
from recscale.errors import ConfigError, DataError

COLUMNS = ("label", "day", "city", "price", "user_id")


def rows(count=60):
    cities = ("Oslo", "", 'New "York", NY', "Łódź")
    return [(str(n % 3 // 2), str(20220501 + n // 20), cities[n % 4], f"{n % 7}.5", str(n % 9)) for n in range(count)]


def csv(table, columns=COLUMNS, delimiter=","):
    def cell(value):
        return '"' + value.replace('"', '""') + '"' if delimiter in value or '"' in value else value

    return "".join(delimiter.join(map(cell, line)) + "\n" for line in [columns, *table])


def without_day(table, price):
    return sorted((label, city, price(cost), user) for label, _, city, cost, user in table)


def log_squared(cost):
    value = float(cost)
    return str(int(value) - 2) if value <= 2 else str(int(math.log(value) ** 2))


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "txt", "parquet", "arrow", "feather"])
def test_every_kind_of_file_gives_the_same_rows(write, prepared, tmp_path, kind):
    path = tmp_path / f"table.{kind}"
    if kind in ("parquet", "arrow", "feather"):
        columns = dict(zip(COLUMNS, zip(*rows(), strict=True), strict=True))
        table = pa.table(
            {
                "label": pa.array([int(value) for value in columns["label"]], pa.int8()),
                "day": pa.array([int(value) for value in columns["day"]]),
                "city": pa.array([value or None for value in columns["city"]]).dictionary_encode(),
                "price": pa.array([float(value) for value in columns["price"]]),
                "user_id": pa.array([int(value) for value in columns["user_id"]]),
            }
        )
        if kind == "parquet":
            pq.write_table(table, path)
        else:
            pyarrow.feather.write_feather(table, path, compression="lz4")
    else:
        path = write(path.name, csv(rows(), delimiter="\t" if kind in ("tsv", "txt") else ","))
    manifest, got = prepared(TableSource(path, drop=("day",)))
    assert [(field.name, field.kind) for field in manifest.fields] == [
        ("city", "categorical"),
        ("price", "numeric"),
        ("user_id", "categorical"),
    ]
    assert sorted(chain.from_iterable(got.values())) == without_day(rows(), log_squared)


@pytest.mark.parametrize(("valid_from", "test_from"), [("20220502", "20220503"), ("2022-05-02", "2022-05-03")])
def test_a_column_splits_by_number_or_by_text(write, prepared, valid_from, test_from):
    dashed = "-" in valid_from
    table = [(y, f"{d[:4]}-{d[4:6]}-{d[6:]}" if dashed else d, *rest) for y, d, *rest in rows()]
    source = TableSource(
        write("t.csv", csv(table)), categorical=("price",), split_by="day", valid_from=valid_from, test_from=test_from
    )
    manifest, got = prepared(source)
    for split, start in (("train", 0), ("valid", 20), ("test", 40)):
        assert sorted(got[split]) == without_day(table[start : start + 20], str)
    assert "day" not in [field.name for field in manifest.fields]


def test_numbers_are_compared_as_numbers(write, prepared):
    table = [(str(n % 2), str(n), "x") for n in range(1, 31)]
    source = TableSource(write("t.csv", csv(table, ("label", "t", "c"))), split_by="t", valid_from="9", test_from="20")
    _, got = prepared(source)
    assert [len(got[split]) for split in ("train", "valid", "test")] == [8, 11, 11]


def test_separate_files_are_the_splits(write, prepared):
    parts = {"train": rows()[:30], "valid": rows()[30:40], "test": rows()[40:]}
    files = {split: write(f"{split}.csv", csv(table)) for split, table in parts.items()}
    _, got = prepared(TableSource(**files, categorical=("price",), drop=("day",)))
    assert {split: sorted(table) for split, table in got.items()} == {s: without_day(t, str) for s, t in parts.items()}


def test_a_positive_label_by_name(write, prepared):
    table = [(">50K" if label == "1" else "<=50K", *rest) for label, *rest in rows()]
    _, got = prepared(TableSource(write("t.csv", csv(table)), positive=">50K", categorical=("price",), drop=("day",)))
    assert sorted(chain.from_iterable(got.values())) == without_day(rows(), str)


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("c", [f"v{n}" for n in range(5000)], "categorical"),
        ("c", [str(n % 90) for n in range(5000)], "categorical"),
        ("c", [str(n * 3) for n in range(5000)], "numeric"),
        ("user_id", [str(n * 3) for n in range(5000)], "categorical"),
        ("c", [str(n % 1200) for n in range(5000)], "categorical"),
        ("c", [f"{n % 10}.25" if n % 7 else "" for n in range(5000)], "numeric"),
        ("c", ["" for n in range(5000)], "categorical"),
        ("c", [str(n) if n else "unknown" for n in range(5000)], "categorical"),
    ],
)
def test_kinds_are_inferred_by_the_stated_rule(write, prepared, name, values, kind):
    table = [(str(n % 2), value) for n, value in enumerate(values)]
    manifest, _ = prepared(TableSource(write("t.csv", csv(table, ("label", name)))))
    assert [field.kind for field in manifest.fields] == [kind]


def test_naming_numeric_columns_makes_all_others_categorical(write, prepared):
    manifest, _ = prepared(TableSource(write("t.csv", csv(rows())), numeric=("user_id",)))
    assert {field.name: field.kind for field in manifest.fields} == {
        "day": "categorical",
        "city": "categorical",
        "price": "categorical",
        "user_id": "numeric",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "click"}, r"t.csv has no column 'click'; it has label, day, city, price, user_id"),
        ({"drop": ("nope",)}, r"t.csv has no column 'nope'; it has label, day"),
        ({"split_by": "when", "valid_from": "1", "test_from": "2"}, "t.csv has no column 'when'"),
        ({"drop": ("day", "city", "price", "user_id")}, "t.csv has no column left to be a field"),
        ({"label": "city"}, r"t.csv, row 2: label 'city' is 'Oslo', expected 0 or 1"),
        ({"positive": "yes"}, r"t.csv: all 60 usable rows have the label 0; expected both"),
        ({"numeric": ("city",)}, r"t.csv, row 2: column 'city' is 'Oslo', expected a number or nothing"),
        ({"split_by": "city", "valid_from": "1", "test_from": "2"}, r"t.csv, row 2: split column 'city' is 'Oslo'"),
        ({"split_by": "day", "valid_from": "1", "test_from": "2"}, r"'train': 0, 'valid': 0, 'test': 60"),
    ],
)
def test_columns_that_do_not_fit_are_named(write, prepared, options, message):
    with pytest.raises(DataError, match=message):
        prepared(TableSource(write("t.csv", csv(rows())), **options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split_by": "day"}, "expected all of --split-by, --valid-from and --test-from"),
        ({"numeric": ("price",), "drop": ("price",)}, r"columns \['price'\] have two uses"),
    ],
)
def test_options_that_contradict_each_other_are_refused(write, prepared, options, message):
    with pytest.raises(ConfigError, match=message):
        prepared(TableSource(write("t.csv", csv(rows())), **options))


def test_files_with_other_columns_are_refused(write, prepared):
    write("t/a.csv", csv(rows()))
    path = write("t/b.csv", csv([row[:4] for row in rows()], COLUMNS[:4]))
    with pytest.raises(DataError, match=r"b.csv and .*a.csv differ in the columns \['user_id'\]"):
        prepared(TableSource(path.parent))


def test_a_parquet_row_with_a_bad_label_is_reported(prepared, tmp_path):
    labels = [n % 2 for n in range(50)]
    labels[17] = 7
    pq.write_table(pa.table({"label": labels, "c": ["a"] * 50}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t.parquet, row 18: label 'label' is '7', expected 0 or 1"):
        prepared(TableSource(tmp_path / "t.parquet"))


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_a_broken_binary_table_is_refused(write, prepared, name):
    with pytest.raises(DataError, match=f"{name} is not a valid"):
        prepared(TableSource(write(name, "nothing of the kind" * 10)))
    with pytest.raises(DataError, match=f"{name} is empty"):
        prepared(TableSource(write(name, "")))


def test_an_infinite_number_is_a_bad_row(write, prepared):
    table = [(str(n % 2), "inf" if n == 3 else str(n)) for n in range(50)]
    with pytest.raises(DataError, match=r"t.csv, row 5: column 'x' is 'inf', expected a finite number"):
        prepared(TableSource(write("t.csv", csv(table, ("label", "x"))), numeric=("x",)), PrepareOptions())
