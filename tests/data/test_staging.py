"""What was read comes back from the chunks as it was, in the narrowest codes, whatever the chunks' size."""

import math
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from recscale.data import staging
from recscale.data.sources.scan import Column, ColumnKind, Part, Scan

WORDS, NUMBERS = Column("w", ColumnKind.CATEGORICAL, "w"), Column("n", ColumnKind.NUMERIC, "n")


def staged(folder, relation):
    with duckdb.connect() as connection:
        part = Part(Path("made"), relation)
        return staging.stage(connection, Scan((part,), (WORDS, NUMBERS), "CAST(i % 2 AS UTINYINT)"), folder)


@pytest.mark.parametrize(
    ("distinct", "codes"), [(256, pa.uint8()), (257, pa.uint16()), (65_536, pa.uint16()), (65_537, pa.int32())]
)
def test_codes_are_as_wide_as_their_values_need(tmp_path, distinct, codes):
    rows = f"(SELECT i, concat('v', i % {distinct}) AS w, CAST(i % {distinct} AS DOUBLE) AS n FROM range(70000) t(i))"
    [chunk] = staged(tmp_path / "chunks", rows).chunks
    batch = chunk.open()
    for column in batch.columns[2:]:
        assert column.type.index_type == codes
        assert len(column.dictionary) == distinct
    assert batch.column("f0").to_pylist() == [f"v{i % distinct}" for i in range(70_000)]
    assert batch.column("f1").to_pylist() == [float(i % distinct) for i in range(70_000)]


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_missing_values_are_empty_text_and_nan(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(staging, "CHUNK_ROWS_MAX", rows)
    cells = "['', NULL, 'x'][i % 3 + 1] AS w, [1.5, NULL, 'nan'::DOUBLE, -0.5][i % 4 + 1] AS n"
    got = staged(tmp_path / "chunks", f"(SELECT i, {cells} FROM range(100) t(i))")
    assert (got.rows, got.positives) == (100, 50)
    assert [chunk.start for chunk in got.chunks] == list(range(0, 100, rows))
    words = [value for chunk in got.chunks for value in chunk.open().column("f0").to_pylist()]
    numbers = [value for chunk in got.chunks for value in chunk.open().column("f1").to_pylist()]
    assert words == [["", "", "x"][i % 3] for i in range(100)]
    assert [None if math.isnan(value) else value for value in numbers] == [
        [1.5, None, None, -0.5][i % 4] for i in range(100)
    ]
