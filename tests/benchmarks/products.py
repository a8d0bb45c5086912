"""Products of sets by oneDNN and by torch, forward and for the input's gradient: prints GFLOP/s, writes nothing.

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
            print(f"{shape:12} {library:6} GFLOP/s forward {next(words)}, input's gradient {next(words)}", flush=True)


def prepared(sets: int, inputs: int, outputs: int, library: str) -> Callable[[], tuple[float, float]]:
    """GFLOP/s forward and for the gradient of the input, one library."""
    products._onednn = LIBRARIES[library]
    x_MBI, y_MBO = torch.randn(sets, BATCH, inputs), torch.randn(sets, BATCH, outputs)
    weight_MIO = torch.randn(sets, inputs, outputs)

    def rate(left: torch.Tensor, right: torch.Tensor) -> float:
        started = time.perf_counter()
        for _ in range(CALLS):
            products.set_products(left, right)
        return 2e-9 * CALLS * sets * BATCH * inputs * outputs / (time.perf_counter() - started)

    return lambda: (rate(x_MBI, weight_MIO), rate(y_MBO, weight_MIO.mT))


if __name__ == "__main__":
    main()
