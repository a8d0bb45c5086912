"""The data study: shares of the train split x families x scales, on the same test split.

Guo et al. (2024) train at 10 to 100 % of the data and find collapse for want of data at the smallest amount only. A
share is the first rows of the shuffled train split; vocabularies stay those of the whole split. Trainings end by early
stopping, not by epochs, so that small amounts are not undertrained.
"""

import sys
from dataclasses import dataclass, replace

import _boot  # noqa: F401  isort: skip  (finds the package in a checkout)
from _recipe import QUICK_MODEL, QUICK_TRAINING, GridOptions, Preset, grid_of, numbers, parse, run

from recscale.entry import run_command
from recscale.records import PAPER_TRAINING, Variant
from recscale.study.grid import Grid

RECIPE = "data_amount"


@dataclass(frozen=True)
class DataAmountOptions(GridOptions):
    """Train on shares of the train split; compare quality and embedding collapse."""

    fractions: tuple[float, ...] = (0.1, 0.25, 0.5, 1)
    """Shares of the train split; they take the place of --train-fraction."""


PRESETS = {
    Preset.QUICK: DataAmountOptions(
        families=("dcnv2",),
        scales=(1.0, 4.0),
        model=QUICK_MODEL,
        train=replace(QUICK_TRAINING, max_epochs=40),
    ),
    Preset.PAPER: DataAmountOptions(
        preset=Preset.PAPER,
        fractions=(0.1, 0.2, 0.4, 0.6, 0.8, 1),
        families=("dnn", "dcnv2"),
        scales=(0.5, 1.0, 2.0, 4.0),
        sets=("1",),
        seeds=3,
        variant=Variant.PAPER,
        train=PAPER_TRAINING,
    ),
}


def grids(options: DataAmountOptions) -> list[Grid]:
    """The one grid of the study."""
    return [grid_of(options, [numbers("train_fraction", options.fractions)])]


def main() -> int:
    """The command."""
    options = parse(PRESETS, sys.argv[1:], __doc__)
    return run(RECIPE, options, grids(options))


if __name__ == "__main__":
    run_command(main)
