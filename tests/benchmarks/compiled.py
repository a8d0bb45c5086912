"""A step by our kernels, with torch's products, all by torch's operations, and these under torch.compile.

`python -m tests.benchmarks.compiled --families dnn finalmlp dcnv2`; each in a process of its own, in turn. The shape
is that of the training steps. Prints a table, writes nothing.
"""

import tempfile
from pathlib import Path

import torch

from recscale.data.splits import Batch
from recscale.models import cross, normalisation, pairs, products
from recscale.records import ModelSpec
from tests.benchmarks.measure import Side, in_turn, in_words
from tests.benchmarks.steps import BATCH, BATCHES, DEFAULT, Steps, command_line, model_of, our_run, steps_of
from tests.benchmarks.world import vocabulary_sizes, zipf_dataset

WAYS = ("kernels", "torch's products", "torch", "torch.compile")


def main() -> None:
    """Median milliseconds of a step and their extremes, by family and way."""
    parser = command_line(__doc__, ["dnn", "finalmlp", "dcnv2"], repeats=5)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        zipf_dataset(Path(folder) / "steps", BATCH * BATCHES, vocabulary_sizes())
        for family in options.families:
            model = model_of(family, options.scale, options.sets)
            sides = (Side.ours(prepared, Path(folder) / "steps", model, way) for way in options.ways)
            for way, times in zip(options.ways, in_turn(sides, options.repeats), strict=True):
                print(f"{family:10} {way:16} {in_words(times)}", flush=True)


def prepared(folder: Path, model: ModelSpec, way: str) -> Steps[Batch]:
    """Steps, one way."""
    if way != "kernels":
        products.by_onednn = lambda x: False
    if way in ("torch", "torch.compile"):
        normalisation.compiles = cross.compiles = pairs.compiles = lambda x: False
    run = our_run(folder, model, DEFAULT)
    if way == "torch.compile":
        run.model.score = torch.compile(run.model.score)
    return steps_of(run)


if __name__ == "__main__":
    main()
