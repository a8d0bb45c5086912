"""What stacking seeds gains: `python -m tests.benchmarks.stacked` prints a table and writes nothing.

Three seeds of a cell train by turns one after the other and stacked, on the same batches and threads: 12 fields of the
embedded world, K = 10, lazy Adam, float32. A ratio above 1 says that stacked steps take less time.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

from recscale.cluster.environment import WORKERS
from recscale.data.reader import Dataset
from recscale.data.synthetic import write_synthetic
from recscale.records import ModelSpec, TrainSpec, TrialSpec
from recscale.training.loop import flushed_subnormals
from recscale.training.run import TrainingRun
from recscale.training.stack import SeedStack

ROWS, SEEDS = 20_000, 3


def main() -> None:
    """Prints a row per family, batch size and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=["fm", "dnn", "nfwfm", "dcnv2"])
    parser.add_argument("--batches", nargs="+", type=int, default=[512, 2048])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--repeats", type=int, default=7, help="epochs of each side")
    options = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in WORKERS.items()):
        # As a study's workers run: what these variables decide is decided when a process starts.
        sys.exit(
            subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.stacked", *sys.argv[1:]], env=os.environ | WORKERS
            ).returncode
        )
    print(f"{'family':8} {'batch':>6} {'threads':>7} {'apart s':>8} {'stacked s':>9} {'ratio':>6} {'spread':>12}")
    with tempfile.TemporaryDirectory() as folder:
        write_synthetic(Path(folder) / "world", rows=ROWS, seed=1)
        dataset = Dataset.open(Path(folder) / "world")
        for threads in options.threads:
            torch.set_num_threads(threads)
            for family in options.families:
                for batch in options.batches:
                    apart, stacked = measure(dataset, family, batch, options.repeats)
                    ratios = [one / other for one, other in zip(apart, stacked, strict=True)]
                    print(
                        f"{family:8} {batch:6} {threads:7} {median(apart):8.2f} {median(stacked):9.2f} "
                        f"{median(ratios):6.2f} [{min(ratios):.2f}, {max(ratios):.2f}]",
                        flush=True,
                    )


@flushed_subnormals()
def measure(dataset: Dataset, family: str, batch_size: int, repeats: int) -> tuple[list[float], list[float]]:
    """Seconds of an epoch of all seeds, one after the other and stacked, after one to warm up."""
    train = TrainSpec(batch_size=batch_size, max_epochs=repeats + 1)
    specs = [TrialSpec(dataset.manifest.fingerprint, ModelSpec(family), train, seed) for seed in range(SEEDS)]
    runs, others = ([TrainingRun(spec, dataset, torch.device("cpu")) for spec in specs] for _ in range(2))
    stack = SeedStack(others)
    apart, stacked = [], []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        for run in runs:
            run.train_until_evaluation()
        middle = time.perf_counter()
        stack.train_until_evaluation()
        apart.append(middle - started)
        stacked.append(time.perf_counter() - middle)
    return apart[1:], stacked[1:]


if __name__ == "__main__":
    main()
