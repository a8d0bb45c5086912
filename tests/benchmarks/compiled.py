"""A step by our kernels, by torch's operations, and by those under torch.compile: prints a table, writes nothing.

`python -m tests.benchmarks.compiled --families dnn finalmlp dcnv2`; each in a process of its own, in turn. The shape
is that of the training steps.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from recscale.models import cross, normalisation, pairs
from tests.benchmarks.measure import Side, in_turn, in_words
from tests.benchmarks.steps import AUC_STEPS, BATCH, DEFAULT, model_of, our_run, timed_steps
from tests.benchmarks.world import vocabulary_sizes, zipf_dataset

WAYS = ("kernels", "torch", "torch.compile")


def main() -> None:
    """Median milliseconds of a step and their extremes, by family and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=["dnn", "finalmlp", "dcnv2"])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        zipf_dataset(Path(folder) / "steps", BATCH * AUC_STEPS, vocabulary_sizes())
        for family in options.families:
            sides = (Side.ours(prepared, Path(folder) / "steps", family, way) for way in WAYS)
            for way, times in zip(WAYS, in_turn(sides, options.repeats), strict=True):
                print(f"{family:10} {way:14} {in_words(times)}", flush=True)


def prepared(folder: Path, family: str, way: str) -> Callable[[], float]:
    """Seconds per step, one way."""
    if way != "kernels":
        normalisation.compiles = cross.compiles = pairs.compiles = lambda x: False
    run = our_run(folder, model_of(family), DEFAULT)
    if way == "torch.compile":
        run.model.score = torch.compile(run.model.score)
    return timed_steps(run)


if __name__ == "__main__":
    main()
