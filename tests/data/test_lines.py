"""Cells come back from their codes as they stand in the text, however it is cut; what is not plain goes to DuckDB."""

import gzip
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recscale.data import lines
from recscale.data.lines import Blocks, LineEncoder
from recscale.data.options import PrepareOptions
from recscale.data.prepare import prepare
from recscale.data.sources.criteo import CriteoSource
from recscale.data.sources.scan import ColumnKind

NUMBER, TEXT = ColumnKind.NUMERIC, ColumnKind.CATEGORICAL
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
WHOLE = st.integers(-(10**15) + 1, 10**15 - 1).map(str) | st.sampled_from(["", "7", "07", "-0", "-7"])
ROWS = st.lists(st.tuples(st.sampled_from("01"), WHOLE, PRINTABLE, PRINTABLE), min_size=1, max_size=50)
NOT_PLAIN = (
    *("1\t2\tx", "1\t2\tx\ty\tz", "", "1\t2\tx\ny"),  # another number of cells
    *("2\t2\tx\ty", "\t2\tx\ty", "1.0\t2\tx\ty"),  # another label
    *("1\t2.5\tx\ty", "1\t-\tx\ty", "1\t+2\tx\ty", "1\t1234567890123456\tx\ty"),  # another number
    *("1\t2\té\ty", "1\t2\tx\ty\r", "1\t2\x01x\ty", "1\t2\t\x7f\ty"),  # not printable ASCII
    "1\t2\tx\t" + "x" * 999,  # longer than a piece
)


def as_text(rows):
    return np.frombuffer("".join("\t".join(row) + "\n" for row in rows).encode(), np.uint8)


def assert_encodes(encoder, rows):
    """The encoder gives back these rows of a label, a number and texts."""
    label_R, [numbers, *texts] = encoder.encode(as_text(rows))
    assert label_R.to_pylist() == [int(row[0]) for row in rows]
    expected = [float(row[1]) if row[1] else math.nan for row in rows]
    np.testing.assert_array_equal(np.array(numbers.to_pylist(), float), expected)
    for place, column in enumerate(texts, start=2):
        assert column.to_pylist() == [row[place] for row in rows]
        assert len(column.dictionary) == len({row[place] for row in rows})
        column.validate(full=True)


@given(first=ROWS, second=ROWS, piece=st.integers(100, 2000))
def test_cells_come_back_and_an_encoder_forgets_the_block_before(first, second, piece):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "PIECE_BYTES", piece)
        encoder = LineEncoder([NUMBER, TEXT, TEXT])
        assert_encodes(encoder, first)
        assert_encodes(encoder, second)


@pytest.mark.parametrize(("distinct", "code"), [(256, "uint8"), (257, "uint16"), (65_536, "uint16"), (65_537, "int32")])
def test_codes_are_as_wide_as_their_values_need_while_the_hash_table_grows(distinct, code):
    values = [f"{number:0{4 + number % 9}x}" for number in range(distinct)]
    rows = [(str(number % 2), "", values[number % distinct], "x") for number in range(distinct + 5000)]
    encoder = LineEncoder([NUMBER, TEXT, TEXT])
    assert_encodes(encoder, rows)
    assert encoder.encode(as_text(rows))[1][1].type.index_type == code


def test_texts_that_start_alike_are_told_apart():
    texts = ["", "a", "aa", "a" * 7, "a" * 8, "a" * 9, "a" * 10, "a" * 9 + "b", "b" + "a" * 9, "\x20", "\x20\x20"]
    assert_encodes(LineEncoder([NUMBER, TEXT, TEXT]), [("0", "1", text, text[::-1]) for text in texts * 3])


@pytest.mark.parametrize("line", NOT_PLAIN)
@pytest.mark.parametrize("place", [0, 7, 20])
def test_a_block_with_a_line_that_is_not_plain_is_left_alone(line, place, monkeypatch):
    monkeypatch.setattr(lines, "PIECE_BYTES", 500)
    rows = ["1\t2\tx\ty"] * 20
    rows.insert(place, line)
    encoder = LineEncoder([NUMBER, TEXT, TEXT])
    assert encoder.encode(np.frombuffer(("\n".join(rows) + "\n").encode(), np.uint8)) is None
    assert_encodes(encoder, [("1", "2", "x", "y")])


@given(
    texts=st.lists(st.binary(max_size=40).map(lambda text: text.replace(b"\n", b"")), min_size=1),
    size=st.integers(1, 60),
)
def test_blocks_are_whole_lines_whatever_their_size(texts, size, tmp_path_factory):
    whole = b"\n".join(texts) + b"\n"
    path, blocks = tmp_path_factory.mktemp("lines") / "a.txt", Blocks()
    for content in (whole, whole[:-1]):
        for packed in (path, path.with_suffix(".gz")):
            packed.write_bytes(gzip.compress(content) if packed.suffix == ".gz" else content)
            got = []
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(lines, "BLOCK_BYTES", size)
                for block_T in blocks.of(packed):
                    got.append(block_T.tobytes())
                    blocks.give_back(block_T)
            assert b"".join(got) == content + (b"" if content.endswith(b"\n") or not content else b"\n")
            assert all(text.endswith(b"\n") for text in got)


def criteo_line(number):
    cells = ["" if (number + i) % 5 == 0 else str(number * i - 3) for i in range(13)]
    return "\t".join([str(number % 2), *cells, *(f"{number % (i + 2):08x}" for i in range(26))])


def prepared(folder, text, options=None):
    folder.mkdir()
    (folder / "train.txt").write_text(text)
    return prepare(CriteoSource(folder / "train.txt"), folder / "dataset", options or PrepareOptions(min_count=1))


@pytest.mark.parametrize("size", [3000, 1 << 20])
def test_duckdb_makes_the_same_dataset_of_the_same_lines(tmp_path, monkeypatch, size):
    monkeypatch.setattr(lines, "BLOCK_BYTES", size)
    text = "".join(criteo_line(number) + "\n" for number in range(500))
    plain = prepared(tmp_path / "plain", text)
    monkeypatch.setattr(LineEncoder, "encode", lambda *_: None)
    assert prepared(tmp_path / "duckdb", text).fingerprint == plain.fingerprint


def test_rows_keep_their_order_and_rejects_their_numbers_where_blocks_differ(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "BLOCK_BYTES", 3000)
    rows = [criteo_line(number) for number in range(500)]
    plain = prepared(tmp_path / "plain", "\n".join(rows))
    odd = {3: "1.0" + rows[3][1:], 300: "0.0" + rows[300][1:]}
    read = prepared(tmp_path / "odd", "\n".join(odd.get(number, row) for number, row in enumerate(rows)))
    assert read.fingerprint == plain.fingerprint
    options = PrepareOptions(min_count=1, max_bad_rows=0.1)
    bad = {7: "1\t2", 250: "x", 251: "1\t2", 499: "y" + rows[499][1:]}
    manifest = prepared(tmp_path / "bad", "\n".join(bad.get(n, row) for n, row in enumerate(rows)), options)
    assert (manifest.source.rows, manifest.source.rejected_rows) == (500, len(bad))
    rejected = pq.read_table(tmp_path / "bad" / "dataset" / "rejected.parquet").to_pylist()
    assert [(row["row"] - 1, row["text"]) for row in rejected] == list(bad.items())
    assert {row["file"] for row in rejected} == {str(tmp_path / "bad" / "train.txt")}
