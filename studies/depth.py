"""The depth study: numbers of cross layers x scales x embedding sets, for families with a cross network."""

import sys
from dataclasses import dataclass

import _boot  # noqa: F401  isort: skip  (finds the package in a checkout)
from _recipe import QUICK_MODEL, QUICK_TRAINING, GridOptions, Preset, grid_of, numbers, parse, run

from recscale.entry import run_command
from recscale.records import PAPER_TRAINING, Variant
from recscale.study.grid import Grid

RECIPE = "depth"


@dataclass(frozen=True)
class DepthOptions(GridOptions):
    """Vary the number of cross layers; compare quality and embedding collapse."""

    layers: tuple[int, ...] = (1, 2, 4, 6)
    """Numbers of cross layers; they take the place of --cross-layers."""


PRESETS = {
    Preset.QUICK: DepthOptions(families=("dcnv2",), scales=(1.0, 4.0), model=QUICK_MODEL, train=QUICK_TRAINING),
    Preset.PAPER: DepthOptions(
        preset=Preset.PAPER,
        layers=(1, 2, 3, 4, 6, 8),
        families=("dcnv2",),
        scales=(1.0, 4.0, 10.0),
        seeds=3,
        variant=Variant.PAPER,
        train=PAPER_TRAINING,
    ),
}


def grids(options: DepthOptions) -> list[Grid]:
    """The one grid of the study."""
    return [grid_of(options, [numbers("cross_layers", options.layers)])]


def main() -> int:
    """The command."""
    options = parse(PRESETS, sys.argv[1:], __doc__)
    return run(RECIPE, options, grids(options))


if __name__ == "__main__":
    run_command(main)
