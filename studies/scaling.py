"""The scaling study: families x scales x numbers of embedding sets x seeds on one dataset.

With no arguments it runs the quick study on the embedded synthetic world. The same command again resumes it: finished
trials are skipped, failed ones are tried again, and a larger grid adds only what is new.
"""

import sys
from dataclasses import dataclass, replace
from functools import partial

import _boot  # noqa: F401  isort: skip  (finds the package in a checkout)
from _recipe import QUICK_MODEL, QUICK_TRAINING, GridOptions, Preset, dataset_of, grid_of, parse, study_name

from dashboards.pages import write_page
from recscale.cluster.launch import launch
from recscale.data.reader import Dataset
from recscale.entry import run_command
from recscale.errors import ConfigError
from recscale.records import PAPER_TRAINING, Tuning, Variant
from recscale.storage.location import location
from recscale.study.grid import Grid, check_cells
from recscale.study.tuned import read_tuned


@dataclass(frozen=True)
class ScalingOptions(GridOptions):
    """Train a grid of families, scales and embedding sets; fit scaling curves; measure embedding collapse."""

    tuned: str | None = None
    """tuned.json of a tuning study on this dataset: learning rate, weight decay and dropout of each cell."""
    base_seeds: int | None = None
    """Seeds of the single-embedding cell at scale 1, whose ensembles of M models are the control for M sets. None: as
    --seeds."""


PRESETS = {
    Preset.QUICK: ScalingOptions(model=QUICK_MODEL, train=QUICK_TRAINING),
    Preset.PAPER: ScalingOptions(
        preset=Preset.PAPER,
        families=("dnn", "ipnn", "nfwfm", "xdeepfm", "dcnv2", "finalmlp"),
        scales=(1, 2, 3, 4, 10),
        seeds=3,
        variant=Variant.PAPER,
        train=PAPER_TRAINING,
    ),
}


def grids_of(options: ScalingOptions) -> list[Grid]:
    """The grid, and one of further seeds of its base."""
    grid = grid_of(options)
    if options.base_seeds is None:
        return [grid]
    if options.base_seeds < options.seeds:
        raise ConfigError(
            f"--base-seeds {options.base_seeds} is fewer than --seeds {options.seeds}; give at least as many"
        )
    return [grid, replace(grid, scales=(1,), sets=("1",), seeds=options.base_seeds)]


def main() -> int:
    """The command."""
    options = parse(PRESETS, sys.argv[1:], __doc__)
    dataset = dataset_of(options)
    name = study_name("scaling-tuned" if options.tuned else "scaling", options, dataset)
    grids = [_tuned(grid, options, dataset) for grid in grids_of(options)]
    return launch(name, "scaling", dataset, grids, options.launch, partial(write_page, "scaling"))


def _tuned(grid: Grid, options: ScalingOptions, dataset: Dataset) -> Grid:
    """The grid with the settings of the file of tuned ones, where one is given."""
    if options.tuned is None:
        return grid
    settings = read_tuned(location(options.tuned), dataset.manifest.fingerprint)
    tuned = replace(grid, name=Tuning.TUNED.value, per_cell=settings)
    check_cells(tuned, dataset.manifest.fingerprint)
    return tuned


if __name__ == "__main__":
    run_command(main)
