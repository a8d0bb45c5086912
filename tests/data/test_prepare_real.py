"""Real click data, where it is at hand beside the checkout, against counts by pandas."""

import itertools
from pathlib import Path

import pandas as pd
import pytest

from recscale.data.options import Duplicates, PrepareOptions, VocabularyFrom
from recscale.data.prepare import prepare
from recscale.data.sources.criteo import CriteoSource
from recscale.data.sources.table import TableSource

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
EVERYTHING = PrepareOptions(min_count=1, vocabulary_from=VocabularyFrom.ALL)
KUAIRAND = DATA / "kuairand_pure/ctr.csv.gz"


def need(path):
    if not path.exists():
        pytest.skip(f"{path.parent.name} is not beside the checkout")
    return path


def read(path, **options):
    return pd.read_csv(path, dtype=str, keep_default_na=False, **options)


def rows_and_positives(manifest):
    return [(split.rows, split.positives) for split in manifest.splits]


def test_adult(tmp_path):
    path = need(DATA / "adult/adult.csv.gz")
    numeric = ("age", "fnlwgt", "capital-gain", "capital-loss", "hours-per-week")
    source = TableSource(path, label="income", positive=">50K", numeric=numeric)
    manifest = prepare(source, tmp_path / "adult", EVERYTHING)
    frame = read(path)
    assert sum(split.rows for split in manifest.splits) == len(frame) == 48_842
    assert sum(split.positives for split in manifest.splits) == (frame["income"] == ">50K").sum()
    sizes = {field.name: field.vocabulary_size for field in manifest.fields}
    assert len(sizes) == 14
    for column in set(sizes) - set(numeric):
        assert sizes[column] == frame[column].nunique() + 1


def test_criteo_sample(tmp_path):
    path = need(DATA / "criteo_1tb_sample/day_0_first10k.tsv.gz")
    manifest = prepare(CriteoSource(path), tmp_path / "criteo", EVERYTHING)
    frame = read(path, sep="\t", header=None)
    assert rows_and_positives(manifest)[0][0] == 8000
    assert sum(split.positives for split in manifest.splits) == (frame[0] == "1").sum() == 265
    assert [field.vocabulary_size for field in manifest.fields[13:]] == [frame[14 + i].nunique() + 1 for i in range(26)]


def test_kuairand_by_date(tmp_path):
    path = need(KUAIRAND)
    source = TableSource(path, split_by="date", valid_from="20220505", test_from="20220507")
    manifest = prepare(source, tmp_path / "kuairand", PrepareOptions(min_count=2))
    frame = read(path)
    parts = [
        frame[frame["date"] < "20220505"],
        frame[(frame["date"] >= "20220505") & (frame["date"] < "20220507")],
        frame[frame["date"] >= "20220507"],
    ]
    assert rows_and_positives(manifest) == [(len(part), (part["label"] == "1").sum()) for part in parts]
    assert len(manifest.fields) == 38
    for field in manifest.fields:
        assert field.kind == "categorical"
        assert field.vocabulary_size == (parts[0][field.name].value_counts() >= 2).sum() + 1


def test_kuairand_without_duplicates(tmp_path):
    path = need(KUAIRAND)
    columns = ("user_id", "video_id", "tab", "hour", "weekday", "tag")
    frame = read(path, usecols=["label", *columns])
    frame.to_csv(tmp_path / "few.csv", index=False)
    options = PrepareOptions(duplicates=Duplicates.DROP)
    manifest = prepare(TableSource(tmp_path / "few.csv", categorical=columns), tmp_path / "kuairand", options)
    assert manifest.source.duplicate_rows == frame.duplicated().sum() > 0
    assert sum(rows for rows, _ in rows_and_positives(manifest)) == len(frame.drop_duplicates())


def test_goodbooks(tmp_path):
    path = need(DATA / "goodbooks/ctr.csv.gz")
    manifest = prepare(TableSource(path), tmp_path / "goodbooks", EVERYTHING)
    frame = read(path)
    assert {field.kind for field in manifest.fields} == {"categorical"}
    names = [field.name for field in manifest.fields]
    assert [field.vocabulary_size for field in manifest.fields] == [frame[name].nunique() + 1 for name in names]
    totals = [sum(column) for column in itertools.zip_longest(*rows_and_positives(manifest))]
    assert totals == [len(frame), (frame["label"] == "1").sum()]
