"""What each penalty adds to a training step: `python -m tests.benchmarks.penalties` prints a table and writes nothing.

A trial's own steps are timed with and without the penalty in turn, in processor time, so that other work on the machine
disturbs little and both alike. 39 fields with vocabularies of 3 to 100,000 ids, Zipf ids, batch 2048, deferred Adam,
K = 10 in each of 4 sets (flattening, which is about single-embedding: one set of the same budget, K = 40). One thread,
as a pooled trial on one CPU has.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import torch

from recscale.data.reader import Dataset
from recscale.data.splits import Batch
from recscale.errors import ConfigError
from recscale.records import ModelSpec, Penalty, TrainSpec, TrialSpec
from recscale.training.run import TrainingRun
from tests.benchmarks.world import zipf_dataset

ROWS, SETS = 8192, 4
PENALTIES = [penalty for penalty in Penalty if penalty is not Penalty.NONE]


@dataclass(frozen=True)
class Share:
    """One penalty's cost on one family."""

    step: float
    """Median milliseconds of processor time of a step without it, over repeats."""
    shares: tuple[float, ...]
    """Added time as a share of that step, one per repeat."""


def main() -> None:
    """Prints a row per family and penalty that the family admits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=["dnn", "nfwfm", "dcnv2"])
    parser.add_argument("--penalties", nargs="+", type=Penalty, default=PENALTIES)
    parser.add_argument("--repeats", type=int, default=5, help="medians that are taken")
    parser.add_argument("--steps", type=int, default=12, help="pairs of steps in each median")
    parser.add_argument("--fields", type=int, default=39, help="fewer where a family's tables do not fit in memory")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'family':10} {'penalty':20} {'step ms':>8} {'added':>7} {'least':>7} {'most':>7}")
    sizes = tuple(int(size) for size in np.geomspace(3, 100_000, options.fields))
    with tempfile.TemporaryDirectory() as folder:
        dataset = zipf_dataset(Path(folder) / "zipf", ROWS, sizes)
        for family in options.families:
            for penalty in options.penalties:
                try:
                    share = measure(dataset, family, penalty, options.repeats, options.steps)
                except ConfigError:
                    continue
                row = (median(share.shares), min(share.shares), max(share.shares))
                print(
                    f"{family:10} {penalty:20} {share.step:8.0f} " + " ".join(f"{part:7.1%}" for part in row),
                    flush=True,
                )


def measure(dataset: Dataset, family: str, penalty: Penalty, repeats: int, steps: int) -> Share:
    """Times pairs of steps; ConfigError where the family does not admit the penalty."""
    sets = 1 if penalty is Penalty.SPECTRUM_FLATTENING else SETS
    model = ModelSpec(family, scale=SETS, num_sets=sets)
    spec = TrialSpec(dataset.manifest.fingerprint, model, TrainSpec(penalty=penalty), seed=0)
    runs = [
        TrainingRun(each, dataset, torch.device("cpu"))
        for each in (replace(spec, train=replace(spec.train, penalty=Penalty.NONE)), spec)
    ]
    batches = list(islice(runs[0].splits["train"].epoch(spec.train.batch_size, 0, 0), 4))
    for run in runs:
        run.model.train()
        _seconds(run, batches[0])
    bases, shares = [], []
    for _ in range(repeats):
        pairs = [[_seconds(run, batches[step % len(batches)]) for run in runs] for step in range(steps)]
        # A mean over neighbours of four keeps steps that decompose together with those that do not.
        without, with_it = (np.mean(np.reshape(part, (-1, 4)), 1) for part in zip(*pairs, strict=True))
        bases.append(1e3 * median(without))
        shares.append(median(with_it / without) - 1)
    return Share(median(bases), tuple(shares))


def _seconds(run: TrainingRun, batch: Batch) -> float:
    started = time.process_time()
    run._optimize(batch)
    return time.process_time() - started


if __name__ == "__main__":
    main()
