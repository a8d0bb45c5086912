"""A pure-Python dictionary encoder of Criteo's format, as people write it: one process, two passes over the text.

Pass 1 counts the values of every field over the train rows; pass 2 looks every value up and fills numpy arrays.
"""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

INTEGERS, FIELDS = 13, 39


@dataclass(frozen=True)
class Encoded:
    """The whole file in memory."""

    ids: np.ndarray
    """Int32 [rows, 39], 0 out of vocabulary, by place."""
    labels: np.ndarray
    """Uint8 [rows], by place."""
    vocabulary_sizes: tuple[int, ...]
    """Ids per field, the out-of-vocabulary one included."""


def encode(path: Path, places: list[int], train_rows: int, min_count: int) -> Encoded:
    """Encodes all lines; line n goes to row places[n], and places below `train_rows` are counted."""
    counts = _count(path, places, train_rows)
    vocabularies = [_numbered(counter, min_count) for counter in counts]
    ids = np.empty((len(places), FIELDS), np.int32)
    labels = np.empty(len(places), np.uint8)
    with path.open() as file:
        for line, place in zip(file, places, strict=True):
            cells = line.rstrip("\n").split("\t")
            labels[place] = int(cells[0])
            ids[place] = [vocabulary.get(value, 0) for vocabulary, value in zip(vocabularies, _values(cells))]
    return Encoded(ids, labels, tuple(len(vocabulary) + 1 for vocabulary in vocabularies))


def _count(path: Path, places: list[int], train_rows: int) -> list[dict[str, int]]:
    counts: list[dict[str, int]] = [Counter() for _ in range(FIELDS)]
    with path.open() as file:
        for line, place in zip(file, places, strict=True):
            if place < train_rows:
                for counter, value in zip(counts, _values(line.rstrip("\n").split("\t"))):
                    counter[value] = counter.get(value, 0) + 1
    return counts


def _values(cells: list[str]) -> list[str]:
    return [*map(log_squared, cells[1 : INTEGERS + 1]), *cells[INTEGERS + 1 :]]


def log_squared(text: str) -> str:
    """The paper's rule for one number; missing stays missing."""
    if text == "":
        return ""
    value = int(text)
    return str(value - 2) if value <= 2 else str(math.floor(math.log(value) ** 2))


def _numbered(counter: dict[str, int], min_count: int) -> dict[str, int]:
    kept = [value for value, count in counter.items() if count >= min_count]
    return {value: number for number, value in enumerate(kept, start=1)}
