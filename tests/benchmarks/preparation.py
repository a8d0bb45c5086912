"""Preparation of a Criteo-format file against a pure-Python dictionary encoder: same file, same split, same threshold.

    python -m tests.benchmarks.preparation --rows 1000000 --repeats 3      # ours and the encoder in turn
    python -m tests.benchmarks.preparation --memory-rows 10000000          # ours alone: speed, memory, bytes spilled

Every run is a process of its own, warmed up on a small file; ours uses DuckDB's threads and as many of its own as there
are processors. Both must come to the same vocabulary sizes and, up to the numbering of ids, to the same rows.
"""

import argparse
import os
import re
import resource
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from recscale.data.manifest import SPLIT_NAMES
from recscale.data.options import PrepareOptions
from recscale.data.permutation import RowPermutation
from recscale.data.prepare import prepare
from recscale.data.reader import Dataset
from recscale.data.sources.criteo import CriteoSource
from tests.benchmarks import two_pass
from tests.benchmarks.criteo_lines import write_lines
from tests.benchmarks.measure import Row, compared

MIN_COUNT = 10
WARM_UP_ROWS = 2000


@dataclass(frozen=True)
class Run:
    """What one preparation took."""

    wall: float
    """Seconds."""
    processor: float
    """Seconds of processor time over all threads and processes."""
    peak_bytes: int
    """Largest resident memory of the process, mapped files included."""
    vocabulary_sizes: tuple[int, ...]
    """Per field."""


def main() -> None:
    """Prints one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory-rows", type=int, help="only ours, once, on this many rows")
    parser.add_argument("--folder", type=Path, help="where the files lie meanwhile; about 500 bytes a row")
    options = parser.parse_args()
    if options.memory_rows is not None:
        print(measure_memory(options.memory_rows, options.folder))
        return
    for row in measure(options.rows, options.repeats, options.folder):
        print(
            f"{row.name:45} ours {row.ours:7.2f} {row.unit}, encoder {row.baseline:7.2f} {row.unit}, "
            f"ratio {row.ratio:5.1f} [{row.spread[0]:.1f}, {row.spread[1]:.1f}] of {row.repeats}"
        )


def measure(rows: int, repeats: int, folder: Path | None = None) -> list[Row]:
    """Ours and the encoder in turn: medians, the median ratio and its extremes, in wall and in processor seconds.

    AssertionError where the two do not agree on what the dataset is.
    """
    pairs = []
    with tempfile.TemporaryDirectory(dir=folder) as name:
        source = Path(name) / "train.txt"
        write_lines(source, rows)
        for _ in range(repeats):
            ours = _in_a_process(_ours, source)
            one = _in_a_process(_encoder, source, rows, 1)
            check_same(source.with_suffix(".dataset"), source.with_suffix(".encoded"), one.vocabulary_sizes)
            two = _in_a_process(_encoder, source, rows, 2)
            pairs.append((ours, one, two))
    ours, one, two = (list(runs) for runs in zip(*pairs, strict=True))
    sides = {
        "wall": ([run.wall for run in ours], [run.wall for run in one]),
        "processor time": ([run.processor for run in ours], [run.processor for run in one]),
        "wall, encoder x 2": ([run.wall for run in ours], [run.wall for run in two]),
    }
    return [compared(f"criteo, {rows:,} rows, {name}", *times, "s", ">= 10x") for name, times in sides.items()]


def measure_memory(rows: int, folder: Path | None = None) -> str:
    """Ours on a file of that many rows: speed, peak memory and the most bytes that lay spilled at any time."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        source = Path(name) / "train.txt"
        write_lines(source, rows)
        with _watched(Path(name)) as spilled:
            run = _in_a_process(_ours, source)
        return (
            f"{rows:,} rows, {source.stat().st_size / 1e9:.2f} GB of text: {run.wall:.0f} s "
            f"({rows / run.wall:,.0f} rows/s), processor time {run.processor:.0f} s, "
            f"peak memory {run.peak_bytes / 1e9:.2f} GB, at most {max(spilled) / 1e9:.2f} GB spilled"
        )


def check_same(dataset: Path, encoded: Path, vocabulary_sizes: tuple[int, ...]) -> None:
    """AssertionError unless both hold the same rows at the same places, every field's ids renumbered one to one."""
    opened = Dataset.open(dataset)
    assert opened.manifest.vocabulary_sizes == vocabulary_sizes
    batches = [batch for split in SPLIT_NAMES for batch in opened.split(split).in_order(100_000)]
    place, theirs = np.load(encoded / "place_0.npy"), np.load(encoded / "ids_0.npy")
    assert np.array_equal(np.concatenate([b.label_B.numpy() for b in batches])[place], np.load(encoded / "label_0.npy"))
    ours = np.concatenate([batch.ids_BN.numpy() for batch in batches])[place]
    for field, size in enumerate(vocabulary_sizes):
        renumbered = np.zeros(size, np.int64)
        renumbered[theirs[:, field]] = ours[:, field]
        assert renumbered[0] == 0
        assert np.array_equal(renumbered[theirs[:, field]], ours[:, field])
        assert len(np.unique(ours[:, field])) == len(np.unique(theirs[:, field]))


def _in_a_process(function: Any, *arguments: Any) -> Run:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        run: Run = pool.submit(function, *arguments).result()
        return run


def _ours(source: Path) -> Run:
    with tempfile.TemporaryDirectory() as name:
        small = Path(name) / "train.txt"
        write_lines(small, WARM_UP_ROWS)
        prepare(CriteoSource(small), Path(name) / "dataset", PrepareOptions(min_count=MIN_COUNT))
    dest = source.with_suffix(".dataset")
    shutil.rmtree(dest, ignore_errors=True)
    with _clock() as seconds:
        manifest = prepare(CriteoSource(source), dest, PrepareOptions(min_count=MIN_COUNT))
    return Run(*seconds, _peak_bytes(), manifest.vocabulary_sizes)


def _encoder(source: Path, rows: int, processes: int) -> Run:
    """The split is given to it; to know it costs ours some of its time."""
    held_out = round(rows * 0.1)
    lines = two_pass.Lines(source, RowPermutation(rows, 0)(np.arange(rows)), rows - 2 * held_out)
    dest = source.with_suffix(".encoded")
    shutil.rmtree(dest, ignore_errors=True)
    with _clock() as seconds:
        sizes = two_pass.encode(lines, MIN_COUNT, dest, processes)
    return Run(*seconds, _peak_bytes(), sizes)


@contextmanager
def _clock() -> Iterator[list[float]]:
    """Wall and processor seconds of the block, once it has ended."""
    seconds: list[float] = []
    wall, processor = time.perf_counter(), _processor_seconds()
    yield seconds
    seconds += [time.perf_counter() - wall, _processor_seconds() - processor]


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _peak_bytes() -> int:
    """Of this process since it started; Linux's own count, which unlike getrusage's leaves its parent out."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


@contextmanager
def _watched(folder: Path) -> Iterator[list[int]]:
    """Bytes in the spill folder of the preparation that runs in `folder`, looked at ten times a second."""
    sizes, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            sizes.append(sum(map(_bytes, folder.glob(".*.partial-*/spill/**/*"))))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sizes
    finally:
        ended.set()
        thread.join()


def _bytes(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


if __name__ == "__main__":
    main()
