"""A step under each table optimizer at several vocabularies: prints a table, writes nothing.

`python -m tests.benchmarks.optimizers --ids 1100000 11000000`; each optimizer in a process of its own, in turn, on 64
batches of the shape of the training steps (39 fields, Zipf ids, batch 2048, float32), so that rows miss steps as they
do in training. What an evaluation has to wait for, deferred steps of all rows, is the last column.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

from recscale.records import TableOptimizer, TrainSpec
from tests.benchmarks.measure import Side, in_turn, in_words
from tests.benchmarks.steps import BATCH, model_of, our_run
from tests.benchmarks.world import vocabulary_sizes, zipf_dataset

BATCHES, STEPS = 64, 16


def main() -> None:
    """Median milliseconds of a step, and of settling, and the repeats' extremes, by vocabulary, family, optimizer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=["dnn", "nfwfm", "dcnv2"])
    parser.add_argument("--ids", nargs="+", type=int, default=[1_100_000])
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for ids in options.ids:
            path = Path(folder) / str(ids)
            zipf_dataset(path, BATCH * BATCHES, vocabulary_sizes(ids))
            for family in options.families:
                sides = (Side.ours(prepared, path, family, optimizer) for optimizer in TableOptimizer)
                for optimizer, times in zip(TableOptimizer, in_turn(sides, options.repeats), strict=True):
                    step, settled = map(in_words, zip(*times, strict=True))
                    print(f"{ids:>11,} {family:6} {optimizer:16} {step} a step, {settled} to settle", flush=True)


def prepared(folder: Path, family: str, optimizer: TableOptimizer) -> Callable[[], tuple[float, float]]:
    """Seconds per step, the loader left out, after every batch was seen once; and those of settling after them."""
    run = our_run(folder, model_of(family), TrainSpec(batch_size=BATCH, table_optimizer=optimizer))
    run.model.train()
    batches = list(run.splits["train"].epoch(BATCH, 0, 0))
    for batch in batches:
        run._optimize(batch)
    coming = cycle(batches)

    def steps() -> tuple[float, float]:
        chosen = list(islice(coming, STEPS))
        started = time.perf_counter()
        for batch in chosen:
            run._optimize(batch)
        stepped = time.perf_counter()
        run.settle()
        return (stepped - started) / STEPS, time.perf_counter() - stepped

    return steps


if __name__ == "__main__":
    main()
