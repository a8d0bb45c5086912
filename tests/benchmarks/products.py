"""Products of sets by oneDNN and by torch, forward and for both gradients: prints GFLOP/s, writes nothing.

`python -m tests.benchmarks.products`; each library in a process of its own, as a study's workers run, in turn;
float32, batch 2048. A shape is sets x inputs x outputs.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch

from recscale.models import products
from tests.benchmarks.measure import Side, in_turn
from tests.benchmarks.steps import BATCH

SHAPES = ("1x390x390", "1x390x400", "1x400x400", "1x1131x400", "1x1560x1560", "4x390x390", "4x390x400", "4x400x400")
LIBRARIES = {"oneDNN": lambda: torch.ops.mkldnn._linear_pointwise, "torch": lambda: None}
WAYS = ("forward", "input's gradient", "weight's gradient")
CALLS = 4


def main() -> None:
    """Medians of GFLOP/s and their extremes, by shape, library and direction."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=SHAPES)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    for shape in options.shapes:
        sides = (Side.ours(prepared, *map(int, shape.split("x")), library) for library in LIBRARIES)
        for library, rates in zip(LIBRARIES, in_turn(sides, options.repeats), strict=True):
            words = (f"{median(each):4.0f} [{min(each):.0f}, {max(each):.0f}]" for each in zip(*rates, strict=True))
            print(
                f"{shape:12} {library:6} GFLOP/s", ", ".join(map(" ".join, zip(WAYS, words, strict=True))), flush=True
            )


def prepared(sets: int, inputs: int, outputs: int, library: str) -> Callable[[], list[float]]:
    """GFLOP/s of every way, one library."""
    products._onednn = LIBRARIES[library]
    products._wide = lambda: library == "oneDNN"
    x_MBI, y_MBO = torch.randn(sets, BATCH, inputs), torch.randn(sets, BATCH, outputs)
    weight_MIO = torch.randn(sets, inputs, outputs)
    ways = (
        lambda: products.set_products(x_MBI, weight_MIO),
        lambda: products.set_products(y_MBO, weight_MIO.mT),
        lambda: products.turned_products(x_MBI, y_MBO),
    )

    def rate(way: Callable[[], torch.Tensor]) -> float:
        started = time.perf_counter()
        for _ in range(CALLS):
            way()
        return 2e-9 * CALLS * sets * BATCH * inputs * outputs / (time.perf_counter() - started)

    return lambda: [rate(way) for way in ways]


if __name__ == "__main__":
    main()
