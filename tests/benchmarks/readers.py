"""The loader alone: rows per second in order and shuffled, against a DataLoader over rows, and the memory it takes."""

import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median

import torch

from recscale.data.order import WINDOW_ROWS
from recscale.data.reader import Dataset
from recscale.data.splits import Split
from tests.benchmarks.baseline import loader
from tests.benchmarks.measure import Row, Side, alternate, anonymous_bytes, compared, measured

BATCH = 4096
BASELINE_BATCHES = 8
"""Batches of the slow side per repeat."""


def measure(folder: Path, repeats: int) -> Iterator[Row]:
    """In order and shuffled; the page cache holds the file after the first round."""
    rows = Dataset.open(folder).split("train").rows
    for name, ours, target in (("in order", in_order, 20e6), ("shuffled", shuffled, 5e6)):
        sides = alternate(Side.ours(ours, folder), Side.baseline(row_wise, folder, name), repeats)
        own, other = ([1e9 * seconds for seconds in side] for side in sides)
        note = f"{1e3 / median(own):.1f}M rows/s of {rows:,} rows of 39 int32 fields, batches of {BATCH}"
        yield compared(f"loader {name}", own, other, "ns per row", f">= {target / 1e6:g}M rows/s", note)
    with Side.baseline(memory, folder) as side:
        grown, window = side()
    note = (
        f"resident memory grows by {grown / 1e6:.0f} MB over an epoch; a window of {WINDOW_ROWS:,} rows has "
        f"{window / 1e6:.0f} MB (plain process: a worker's allocator keeps what is freed)"
    )
    yield measured("loader memory", [grown / window], "windows", "< 1.5", note)


def in_order(folder: Path) -> Callable[[], float]:
    """Seconds per row of a pass as stored; every batch is summed up so that it is really read."""
    split = Dataset.open(folder).split("train")
    return lambda: _seconds(lambda: split.in_order(BATCH), split)


def shuffled(folder: Path) -> Callable[[], float]:
    """Seconds per row of a shuffled epoch."""
    split = Dataset.open(folder).split("train")
    return lambda: _seconds(lambda: split.epoch(BATCH, 0, 0), split)


def row_wise(folder: Path, order: str) -> Callable[[], float]:
    """Seconds per row of the baseline's DataLoader, over its first batches."""
    split = Dataset.open(folder).split("train")
    ids_RN = torch.cat([batch.ids_BN for batch in split.in_order(BATCH)]).numpy()
    batches = loader(ids_RN, split.labels(), BATCH, shuffle=order == "shuffled")

    def run() -> float:
        started = time.perf_counter()
        for ids_BN, _ in islice(batches, BASELINE_BATCHES):
            ids_BN[:, 0].sum()
        return (time.perf_counter() - started) / (BASELINE_BATCHES * BATCH)

    return run


def memory(folder: Path) -> Callable[[], tuple[float, float]]:
    """Bytes that resident memory grows by over a shuffled epoch, less the mapped file, and bytes of a window."""
    split = Dataset.open(folder).split("train")

    def run() -> tuple[float, float]:
        next(iter(split.epoch(BATCH, 0, 1)))  # what torch takes once is not the loader's
        before = anonymous_bytes()
        peak = before
        for number, _ in enumerate(split.epoch(BATCH, 0, 0)):
            if number % 16 == 0:
                peak = max(peak, anonymous_bytes())
        row = 4 * 39 + 1
        return float(peak - before), float(min(WINDOW_ROWS, split.rows) * row)

    return run


def _seconds(batches: Callable[[], Iterator], split: Split) -> float:
    started = time.perf_counter()
    for batch in batches():
        batch.ids_BN[:, 0].sum()
    return (time.perf_counter() - started) / split.rows
