"""Made lines in Criteo's format: label, 13 integers with gaps and negatives, 26 hexadecimal ids of Zipf frequency.

Legend: B rows of a block.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

INTEGERS, CATEGORIES = 13, 26
BLOCK_ROWS = 200_000
MISSING = (0.0, 0.05, 0.2, 0.45)
"""Shares of missing values, taken in turn by the fields; Criteo's own go from 0 to 0.8."""
SIZES = tuple(int(size) for size in np.geomspace(3, 1_000_000, CATEGORIES))
"""Values that a categorical field can take."""
HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
PLAIN = csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")


def write_lines(path: Path, rows: int, seed: int = 0) -> None:
    """Writes `rows` lines to `path`, about 230 bytes each."""
    with path.open("wb") as file:
        for block in _blocks(rows, np.random.default_rng(seed)):
            csv.write_csv(block, file, PLAIN)


def _blocks(rows: int, random: np.random.Generator) -> Iterator[pa.Table]:
    for start in range(0, rows, BLOCK_ROWS):
        count = min(BLOCK_ROWS, rows - start)
        columns = [pa.array((random.random(count) < 0.25).astype(np.uint8))]
        columns += [_integers(random, count, number) for number in range(INTEGERS)]
        columns += [_categories(random, count, number) for number in range(CATEGORIES)]
        yield pa.table(columns, [str(number) for number in range(len(columns))])


def _integers(random: np.random.Generator, rows: int, number: int) -> pa.Array:
    """Log-normal whole numbers from -2 up, wider from field to field as Criteo's are."""
    value_B = np.floor(np.exp(random.normal(1.0, 0.5 + 0.2 * number, rows))).astype(np.int64) - 2
    return pa.array(value_B, mask=_missing(random, rows, number))


def _categories(random: np.random.Generator, rows: int, number: int) -> pa.Array:
    """Ranks drawn with frequency about 1 / rank, written as 8 hexadecimal digits of a hash of rank and field."""
    rank_B = (SIZES[number] ** random.random(rows)).astype(np.uint64)
    hash_B = ((rank_B + np.uint64(number << 32)) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
    digits = HEX[(hash_B[:, None] >> np.arange(28, -1, -4, dtype=np.uint64)) & np.uint64(15)]
    offsets = np.arange(0, 8 * rows + 1, 8, dtype=np.int32)
    texts = pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(digits.tobytes()))
    missing = pa.array(_missing(random, rows, number))
    return pc.if_else(missing, pa.scalar(None, pa.string()), texts)


def _missing(random: np.random.Generator, rows: int, number: int) -> np.ndarray:
    missing_B: np.ndarray = random.random(rows) < MISSING[number % len(MISSING)]
    return missing_B
