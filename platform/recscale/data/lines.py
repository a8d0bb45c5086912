"""Tab-separated text in blocks of whole lines, and a block's columns by their distinct values.

Only plain lines are taken: a label 0 or 1, the right number of cells, printable ASCII, whole numbers where numbers are
expected. A block with any other line is left to DuckDB, which knows every case and names what it refuses.

Memory that the system gives for the first time costs more than the work in it: blocks and hash tables are used again.

Legend: T bytes of a block, R its rows, V distinct values of one column in it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from recscale.data.chunks import code_type
from recscale.data.sources.files import open_text
from recscale.data.sources.scan import ColumnKind

BLOCK_BYTES = 32 << 20
"""Text of a chunk: few chunks are merged faster, small ones held by several threads take less memory."""
BLOCK_BYTES_MAX = (1 << 31) - 1
PIECE_BYTES = 1 << 20
"""Lines that are worked on column by column while they are in the processor's cache."""
HASH_BITS = 12
"""Of a column's first hash table."""
NEWLINE = ord("\n")


class Blocks:
    """All lines of files, plain or .gz, in blocks of about BLOCK_BYTES: no line is cut, and the last one is ended."""

    def __init__(self) -> None:
        self._spare: list[np.ndarray] = []

    def of(self, path: Path) -> Iterator[np.ndarray]:
        """Blocks uint8 [T] of a file; each is to be given back once it has been read."""
        rest_T = np.empty(0, np.uint8)
        with open_text(path) as file:
            while True:
                buffer_T = self._buffer(len(rest_T) + 1)
                buffer_T[: len(rest_T)] = rest_T
                filled = len(rest_T)
                while filled < len(buffer_T) and (read := file.readinto(buffer_T[filled:].data)):
                    filled += read
                if filled == len(rest_T):
                    break
                block_T = buffer_T[: _end_of_last_line(buffer_T[:filled])]
                rest_T = buffer_T[len(block_T) : filled].copy()
                if len(block_T):
                    yield block_T
        if len(rest_T):
            yield np.append(rest_T, np.uint8(NEWLINE))

    def give_back(self, block_T: np.ndarray) -> None:
        """Lets the memory of a block be that of another."""
        if block_T.base is not None:
            self._spare.append(block_T.base)

    def _buffer(self, least: int) -> np.ndarray:
        buffer_T = self._spare.pop() if self._spare else np.empty(BLOCK_BYTES, np.uint8)
        return buffer_T if len(buffer_T) > least else np.empty(2 * least, np.uint8)


class LineEncoder:
    """Encodes one block after the other; not for two threads at a time."""

    def __init__(self, kinds: Sequence[ColumnKind]) -> None:
        self._kinds = kinds
        self._columns = [_Codes() for _ in range(len(kinds) + 1)]
        self._end_S = np.empty(PIECE_BYTES + 1, np.int32)
        self._scratch = np.empty((2, len(self._end_S) // len(self._columns) + 1), np.uint64)

    def encode(self, text_T: np.ndarray) -> tuple[pa.Array, list[pa.DictionaryArray]] | None:
        """Labels uint8 [R] and columns of lines of a label and cells; None where not all of the lines are plain.

        A value may stand twice in a column of numbers, as 7 and 07 do.
        """
        for column in self._columns:
            column.clear()
        if len(text_T) > BLOCK_BYTES_MAX or not self._read(text_T):
            return None
        label, *cells = self._columns
        label_R = _labels(text_T, label)
        arrays = [_values(text_T, column, kind) for column, kind in zip(cells, self._kinds, strict=True)]
        plain = [array for array in arrays if array is not None]
        if label_R is None or len(plain) < len(arrays):
            return None
        columns = zip(cells, plain, strict=True)
        return label_R, [pa.DictionaryArray.from_arrays(pa.array(c.codes()), array, safe=False) for c, array in columns]

    def _read(self, text_T: np.ndarray) -> bool:
        """Puts all cells into their columns; whether all of the lines have as many printable cells as there are."""
        from recscale.kernels import lines  # only here and below: no other source needs numba

        first = 0
        while first < len(text_T):
            last = first + _end_of_last_line(text_T[first : first + PIECE_BYTES])
            self._end_S[0] = first - 1
            ends, ascii_only = lines.cell_ends(text_T, first, last, self._end_S)
            if last == first or not ascii_only or ends % len(self._columns):
                return False
            end_S = self._end_S[: ends + 1].reshape(-1)
            for index, column in enumerate(self._columns):
                separator = NEWLINE if index == len(self._columns) - 1 else lines.TAB
                if not column.add(text_T, end_S, (index, len(self._columns), separator), self._scratch):
                    return False
            first = last
        return True


class _Codes:
    """The codes of a column's cells so far, and the hash table of its values."""

    def __init__(self) -> None:
        self._distinct = 0
        self._parts: list[np.ndarray] = []
        self._bits = HASH_BITS
        self._table_H = _empty_table(HASH_BITS)
        self._all_place_V = np.empty(1 << HASH_BITS, np.int32)

    def clear(self) -> None:
        """Forgets all cells."""
        if self._distinct:
            self._table_H[:] = 0
        self._distinct, self._parts = 0, []

    def places(self) -> np.ndarray:
        """Where each value is first met in the text, int32 [V]."""
        return self._all_place_V[: self._distinct]

    def codes(self) -> np.ndarray:
        """Numbers of the values [R], as narrow as they can be."""
        return np.concatenate(self._parts, dtype=code_type(self._distinct), casting="unsafe")

    def add(self, text_T: np.ndarray, end_S: np.ndarray, column: tuple[int, int, int], scratch: np.ndarray) -> bool:
        """Takes in a piece's cells of a column, given as its number, their number and what ends its cells."""
        from recscale.kernels import lines

        code_R = np.empty(len(end_S) // column[1], np.int32)
        self._make_room(2 * (self._distinct + len(code_R)))
        table = (self._table_H, self._bits, self._all_place_V)
        good: bool
        self._distinct, good = lines.encode(text_T, end_S, *column, *table, self._distinct, code_R, scratch)
        self._parts.append(code_R)
        return good

    def _make_room(self, places: int) -> None:
        from recscale.kernels import lines

        bits = (places - 1).bit_length()
        if bits > self._bits:
            table_H = _empty_table(bits)
            lines.rehash(self._table_H, table_H, bits)
            self._table_H, self._bits = table_H, bits
            self._all_place_V = np.concatenate([self.places(), np.empty((1 << bits) - self._distinct, np.int32)])


def _empty_table(bits: int) -> np.ndarray:
    """For keys and codes; written, not only promised: a page that is read first is given twice."""
    return np.full(2 << bits, 0, np.uint64)


def _end_of_last_line(text_T: np.ndarray) -> int:
    """Where the last whole line of a text ends; 0 where none does."""
    tail = 1 << 12
    while True:
        start = max(0, len(text_T) - tail)
        found = text_T[start:].tobytes().rfind(b"\n") + 1
        if found or start == 0:
            return start + found if found else 0
        tail *= 4


def _labels(text_T: np.ndarray, label: _Codes) -> pa.Array | None:
    value_V = _texts(text_T, label)
    if not all(value in ("0", "1") for value in value_V.to_pylist()):
        return None
    return pa.array(value_V.cast(pa.uint8()).to_numpy()[label.codes()])


def _values(text_T: np.ndarray, column: _Codes, kind: ColumnKind) -> pa.Array | None:
    """Distinct values [V], text or doubles; None where one is no plain number."""
    from recscale.kernels import lines

    if kind is ColumnKind.CATEGORICAL:
        return _texts(text_T, column)
    number_V, plain = lines.whole_numbers(text_T, column.places())
    return pa.array(number_V) if plain else None


def _texts(text_T: np.ndarray, column: _Codes) -> pa.StringArray:
    from recscale.kernels import lines

    offset_V, joined = lines.texts(text_T, column.places())
    return pa.StringArray.from_buffers(len(offset_V) - 1, pa.py_buffer(offset_V), pa.py_buffer(joined))
