"""A pure-Python dictionary encoder of Criteo's format, as people write it: two passes over the text, one process.

Pass 1 counts the values of every field over the train rows; pass 2 looks every value up and fills numpy arrays, which
are saved. With several processes each takes every n-th line, and the counts are added up between the passes.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np

INTEGERS, FIELDS = 13, 39
Vocabularies = list[dict[str, int]]


@dataclass(frozen=True)
class Lines:
    """A file, and where its rows belong."""

    path: Path
    """Lines of 40 columns."""
    places: np.ndarray
    """Int64 [rows]: places below `train_rows` are train rows, which are counted."""
    train_rows: int
    """Rows of train."""

    def of(self, process: int, processes: int) -> Iterator[tuple[list[str], int]]:
        """Columns and place of every line that a process takes."""
        with self.path.open() as file:
            for line, place in islice(zip(file, self.places.tolist(), strict=True), process, None, processes):
                yield line.rstrip("\n").split("\t"), place


def encode(lines: Lines, min_count: int, folder: Path, processes: int = 1) -> tuple[int, ...]:
    """Saves `ids_N.npy`, `label_N.npy` and `place_N.npy` per process; the number of ids per field, id 0 included."""
    folder.mkdir()
    if processes == 1:
        vocabularies = _numbered([_counted(lines, 1, 0)], min_count)
        _encoded(lines, folder, vocabularies, 1, 0)
    else:
        with get_context("fork").Pool(processes) as pool:
            vocabularies = _numbered(pool.map(partial(_counted, lines, processes), range(processes)), min_count)
            pool.map(partial(_encoded, lines, folder, vocabularies, processes), range(processes))
    return tuple(len(vocabulary) + 1 for vocabulary in vocabularies)


def _counted(lines: Lines, processes: int, process: int) -> list[Counter[str]]:
    counts: list[Counter[str]] = [Counter() for _ in range(FIELDS)]
    for cells, place in lines.of(process, processes):
        if place < lines.train_rows:
            for count, value in zip(counts, _values(cells), strict=True):
                count[value] += 1
    return counts


def _numbered(counts: list[list[Counter[str]]], min_count: int) -> Vocabularies:
    vocabularies = []
    for parts in zip(*counts, strict=True):
        whole = parts[0] if len(parts) == 1 else sum(parts, Counter())
        kept = [value for value, count in whole.items() if count >= min_count]
        vocabularies.append({value: number for number, value in enumerate(kept, start=1)})
    return vocabularies


def _encoded(lines: Lines, folder: Path, vocabularies: Vocabularies, processes: int, process: int) -> None:
    place = lines.places[process::processes]
    ids, label = np.empty((len(place), FIELDS), np.int32), np.empty(len(place), np.uint8)
    for row, (cells, _) in enumerate(lines.of(process, processes)):
        label[row] = int(cells[0])
        ids[row] = [known.get(value, 0) for known, value in zip(vocabularies, _values(cells), strict=True)]
    for name, array in (("ids", ids), ("label", label), ("place", place)):
        np.save(folder / f"{name}_{process}.npy", array)


def _values(cells: list[str]) -> list[str]:
    return [*map(_log_squared, cells[1 : INTEGERS + 1]), *cells[INTEGERS + 1 :]]


def _log_squared(text: str) -> str:
    """The paper's rule for one number; missing stays missing."""
    if text == "":
        return ""
    value = int(text)
    return str(value - 2) if value <= 2 else str(math.floor(math.log(value) ** 2))
