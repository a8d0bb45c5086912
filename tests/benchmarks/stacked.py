"""What stacking seeds gains: `python -m tests.benchmarks.stacked` prints a table and writes nothing.

Three seeds of a cell train an epoch one after the other and stacked, in turn, each side in a process of its own: 12
fields of the embedded world, K = 10, deferred Adam, float32. A ratio above 1 says that stacked steps take less time.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from recscale.data.reader import Dataset
from recscale.data.synthetic import write_synthetic
from recscale.records import ModelSpec, TrainSpec, TrialSpec
from recscale.training.run import TrainingRun
from recscale.training.stack import SeedStack
from tests.benchmarks.measure import Side, alternate, compared

ROWS, SEEDS = 20_000, 3


def main() -> None:
    """Prints a row per family, batch size and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=["fm", "dnn", "nfwfm", "dcnv2"])
    parser.add_argument("--batches", nargs="+", type=int, default=[512, 2048])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--repeats", type=int, default=7, help="epochs of each side")
    options = parser.parse_args()
    print(f"{'family':8} {'batch':>6} {'threads':>7} {'apart s':>8} {'stacked s':>9} {'ratio':>6} {'spread':>12}")
    with tempfile.TemporaryDirectory() as folder:
        write_synthetic(Path(folder) / "world", rows=ROWS, seed=1)
        for threads in options.threads:
            for family in options.families:
                for batch in options.batches:
                    ways = (Side.ours(way, Path(folder) / "world", family, batch, threads) for way in (stacked, apart))
                    row = compared(family, *alternate(*ways, options.repeats), "s")
                    print(
                        f"{family:8} {batch:6} {threads:7} {row.baseline:8.2f} {row.ours:9.2f} {row.ratio:6.2f} "
                        f"[{row.spread[0]:.2f}, {row.spread[1]:.2f}]",
                        flush=True,
                    )


def apart(folder: Path, family: str, batch_size: int, threads: int) -> Callable[[], float]:
    """Seconds of an epoch of all seeds, one after the other."""
    runs = runs_of(folder, family, batch_size, threads)
    return lambda: timed(lambda: [run.train_until_evaluation() for run in runs])


def stacked(folder: Path, family: str, batch_size: int, threads: int) -> Callable[[], float]:
    """Seconds of an epoch of all seeds, stacked."""
    stack = SeedStack(runs_of(folder, family, batch_size, threads))
    return lambda: timed(stack.train_until_evaluation)


def runs_of(folder: Path, family: str, batch_size: int, threads: int) -> list[TrainingRun]:
    """A run per seed, as a trial of so many threads begins it."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    dataset, train = Dataset.open(folder), TrainSpec(batch_size=batch_size)
    specs = (TrialSpec(dataset.manifest.fingerprint, ModelSpec(family), train, seed) for seed in range(SEEDS))
    return [TrainingRun(spec, dataset, torch.device("cpu")) for spec in specs]


def timed(train: Callable[[], object]) -> float:
    """Seconds."""
    started = time.perf_counter()
    train()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
