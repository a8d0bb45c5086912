"""Prepared datasets against a pure-Python encoder that shares nothing with them but the rules."""

import hashlib
import itertools
from collections import Counter
from dataclasses import replace

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from recscale.data import prepare, shuffle, staging
from recscale.data.manifest import SPLIT_NAMES
from recscale.data.options import Duplicates, NumericEncoding, PrepareOptions, VocabularyFrom
from recscale.data.reader import Dataset
from recscale.data.sources.table import TableSource
from recscale.data.writer import vocabulary_path

COLUMNS = ("label", "day", "number", "user", "city")
KEEP_ALL = PrepareOptions(min_count=1, vocabulary_from=VocabularyFrom.ALL, seed=3)


@pytest.fixture(scope="module")
def rows():
    """2,000 rows whose `number` is unique; skewed users, some missing; a tenth of the rows is seen only late."""
    random = np.random.default_rng(0)
    users = (random.random(2000) ** 3 * 300).astype(int)
    cities = random.choice(["", "Oslo", "Łódź", "a, b"], 2000)
    users[1800:] += 500
    return [
        (str(int(random.random() < 0.3)), str(n // 200), f"n{n}", f"u{users[n]}", str(cities[n])) for n in range(2000)
    ]


@pytest.fixture
def source(rows, tmp_path):
    path = tmp_path / "t.csv"
    lines = (",".join(f'"{cell}"' if "," in cell else cell for cell in row) for row in [COLUMNS, *rows])
    path.write_text("\n".join(lines) + "\n")
    return TableSource(path, categorical=COLUMNS[1:])


def read(folder):
    """Ids and labels of every split, and the vocabularies as lists of (value, count)."""
    dataset = Dataset.open(folder)
    splits = {}
    for split in SPLIT_NAMES:
        batches = list(dataset.split(split).in_order(64))
        ids = [tuple(row) for batch in batches for row in batch.ids_BN.tolist()]
        splits[split] = (ids, [int(label) for batch in batches for label in batch.label_B.tolist()])
    tables = [
        pq.read_table(vocabulary_path(folder, index, field.name)) for index, field in enumerate(dataset.manifest.fields)
    ]
    vocabularies = [
        list(zip(t.column("value").to_pylist(), t.column("count").to_pylist(), strict=True)) for t in tables
    ]
    return splits, vocabularies


def in_order(source, rows, tmp_path, options):
    """The source's rows of every split in the dataset's order, told by their unique number."""
    prepare.prepare(source, tmp_path / "all", replace(options, min_count=1, vocabulary_from=VocabularyFrom.ALL))
    splits, vocabularies = read(tmp_path / "all")
    by_number = {row[2]: row for row in rows}
    position = COLUMNS.index("number") - (2 if source.split_by else 1)
    return {s: [by_number[vocabularies[position][row[position]][0]] for row in ids] for s, (ids, _) in splits.items()}


@pytest.mark.parametrize("counted", list(VocabularyFrom))
@pytest.mark.parametrize("by_day", [False, True])
@pytest.mark.parametrize("min_count", [1, 2, 7])
def test_vocabularies_thresholds_and_ids_match_the_reference(source, rows, tmp_path, counted, by_day, min_count):
    if by_day:
        source = replace(source, categorical=COLUMNS[2:], split_by="day", valid_from="7", test_from="9")
    options = PrepareOptions(min_count=min_count, vocabulary_from=counted, seed=3)
    expected = in_order(source, rows, tmp_path, options)
    manifest = prepare.prepare(source, tmp_path / "dataset", options)
    splits, vocabularies = read(tmp_path / "dataset")
    counted_rows = expected["train"] if counted is VocabularyFrom.TRAIN else list(itertools.chain(*expected.values()))
    for index, field in enumerate(manifest.fields):
        column = COLUMNS.index(field.name)
        counts = Counter(row[column] for row in counted_rows)
        kept = sorted((v for v, c in counts.items() if c >= min_count), key=lambda v: (-counts[v], v.encode()))
        train = Counter(row[column] for row in expected["train"])
        others = len(expected["train"]) - sum(train[value] for value in kept)
        assert vocabularies[index] == [(None, others), *((value, train[value]) for value in kept)]
        assert (field.vocabulary_size, field.min_count, field.kind) == (len(kept) + 1, min_count, "categorical")
        ids = {value: number for number, value in enumerate(kept, start=1)}
        for split in SPLIT_NAMES:
            assert [row[index] for row in splits[split][0]] == [ids.get(row[column], 0) for row in expected[split]]
    for split in SPLIT_NAMES:
        assert splits[split][1] == [int(row[0]) for row in expected[split]]


def test_every_row_arrives_once_in_exact_shares_and_shuffled(source, rows, tmp_path):
    expected = in_order(source, rows, tmp_path, KEEP_ALL)
    assert [len(expected[split]) for split in SPLIT_NAMES] == [1600, 200, 200]
    together = list(itertools.chain(*expected.values()))
    assert sorted(together) == sorted(rows)
    places = np.array([int(row[2][1:]) for row in together])
    assert abs(np.corrcoef(places, np.arange(len(places)))[0, 1]) < 0.1


def test_values_of_later_rows_are_out_of_vocabulary(source, tmp_path):
    source = replace(source, categorical=COLUMNS[2:], split_by="day", valid_from="7", test_from="9")
    prepare.prepare(source, tmp_path / "dataset", PrepareOptions(min_count=1))
    splits, vocabularies = read(tmp_path / "dataset")
    assert {row[0] for row in splits["test"][0]} == {0}
    assert "" in [value for value, _ in vocabularies[2]]
    assert vocabularies[0][0] == (None, 0)


def test_large_fields_are_hashed_by_md5(source, rows, tmp_path):
    expected = in_order(source, rows, tmp_path, KEEP_ALL)
    manifest = prepare.prepare(source, tmp_path / "dataset", PrepareOptions(min_count=1, hash_buckets=50, seed=3))
    assert [(field.kind, field.vocabulary_size) for field in manifest.fields][1:] == [
        ("hashed", 51),
        ("hashed", 51),
        ("categorical", 5),
    ]

    def bucket(value):
        return 1 + int.from_bytes(hashlib.md5(value.encode()).digest()[:8], "little") % 50

    splits, vocabularies = read(tmp_path / "dataset")
    for split in SPLIT_NAMES:
        assert [row[2] for row in splits[split][0]] == [bucket(row[3]) for row in expected[split]]
    counts = Counter(bucket(row[3]) for row in expected["train"])
    assert [count for _, count in vocabularies[2]] == [counts[number] for number in range(51)]


@pytest.mark.parametrize("threads", [1, 4])
def test_chunks_buckets_threads_and_names_do_not_change_the_fingerprint(source, tmp_path, monkeypatch, threads):
    first = prepare.prepare(source, tmp_path / "first", PrepareOptions(seed=5))
    monkeypatch.setattr(staging, "CHUNK_ROWS_MAX", 100)
    monkeypatch.setattr(shuffle, "BUCKET_ROWS_MAX", 70)
    connect = duckdb.connect
    monkeypatch.setattr(prepare.duckdb, "connect", lambda config: connect(config={**config, "threads": threads}))
    again = prepare.prepare(source, tmp_path / "again", PrepareOptions(seed=5, memory_limit="500MB"))
    assert again.fingerprint == first.fingerprint
    assert prepare.prepare(source, tmp_path / "other", PrepareOptions(seed=6)).fingerprint != first.fingerprint


@pytest.mark.parametrize("chunk_rows", [3, 1000])
@pytest.mark.parametrize("by_day", [False, True])
def test_only_the_first_of_identical_rows_is_kept(tmp_path, monkeypatch, by_day, chunk_rows):
    """Also where a whole chunk repeats earlier rows."""
    monkeypatch.setattr(staging, "CHUNK_ROWS_MAX", chunk_rows)
    rows = [(str(n % 2), str(n // 100), f"a{n % 40}", f"b{n % 7}|") for n in range(300)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(",".join(row) for row in [("label", "day", "a", "b"), *rows]))
    source = TableSource(path, categorical=("a", "b"), drop=() if by_day else ("day",))
    if by_day:
        source = replace(source, split_by="day", valid_from="1", test_from="2")
    options = replace(KEEP_ALL, duplicates=Duplicates.DROP)
    firsts = {}
    for label, day, a, b in rows:
        firsts.setdefault((label, a, b), day)
    if by_day and len(set(firsts.values())) < 3:
        pytest.fail("the made data must leave rows in every split")
    manifest = prepare.prepare(source, tmp_path / "dataset", options)
    splits, vocabularies = read(tmp_path / "dataset")
    got = {
        split: [
            (str(y), *(v[i][0] for v, i in zip(vocabularies, row, strict=True))) for row, y in zip(*both, strict=True)
        ]
        for split, both in splits.items()
    }
    assert manifest.source.duplicate_rows == len(rows) - len(firsts)
    assert sorted(itertools.chain(*got.values())) == sorted(firsts)
    if by_day:
        for number, split in enumerate(SPLIT_NAMES):
            assert sorted(got[split]) == sorted(key for key, day in firsts.items() if day == str(number))


def test_quantile_bins_hold_equal_counts_of_train_rows(tmp_path):
    random = np.random.default_rng(1)
    value = random.normal(size=5000)
    late = np.concatenate([value[:4000], value[4000:] * 100])
    text = [repr(float(v)) if n % 10 else "" for n, v in enumerate(late)]
    days = [n // 500 for n in range(5000)]
    lines = (f"{n % 2},{day},{cell}" for n, (day, cell) in enumerate(zip(days, text, strict=True)))
    (tmp_path / "t.csv").write_text("label,day,x\n" + "\n".join(lines))
    source = TableSource(tmp_path / "t.csv", numeric=("x",), split_by="day", valid_from="8", test_from="9")
    options = PrepareOptions(min_count=1, numeric_encoding=NumericEncoding.QUANTILE, num_quantiles=8)
    manifest = prepare.prepare(source, tmp_path / "dataset", options)
    splits, [vocabulary] = read(tmp_path / "dataset")
    assert manifest.fields[0].kind == "numeric"
    assert dict(vocabulary)[""] == 400
    bins = {value: count for value, count in vocabulary if value}
    assert set(bins.values()) == {450}
    inner = sorted(float(value[1:].split(",")[0]) for value in bins)[1:]
    numbers = np.array([float(cell) for cell in text[:4000] if cell])
    assert [int((numbers < edge).sum()) for edge in inner] == [450 * number for number in range(1, 8)]
    assert {row[0] for row in splits["test"][0]} <= set(range(len(vocabulary)))
