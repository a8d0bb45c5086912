"""The tuning study: does single-embedding fall because its settings do not fit the scale?

Learning rate, weight decay and dropout are searched inside every cell (family, scale, number of sets) by Ray Tune with
Optuna, on the valid split alone; then every cell is trained over the study's seeds with the untuned and with the tuned
settings. The same command again resumes it. `studies/scaling.py --tuned` trains other grids with what was found.
"""

import sys
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated

import _boot  # noqa: F401  isort: skip  (finds the package in a checkout)
import tyro
from _recipe import QUICK_MODEL, QUICK_TRAINING, GridOptions, Preset, dataset_of, grid_of, parse, study_name

from dashboards.pages import write_page
from recscale.cluster.launch import launch
from recscale.cluster.search import search
from recscale.entry import run_command
from recscale.records import PAPER_TRAINING, Tuning, Variant
from recscale.study.search import SearchOptions


@dataclass(frozen=True)
class TuningOptions(GridOptions):
    """Tune learning rate, weight decay and dropout in every cell; compare tuned with untuned scaling curves."""

    search: Annotated[SearchOptions, tyro.conf.OmitArgPrefixes] = field(default_factory=SearchOptions)
    """How each cell's settings are searched."""


PRESETS = {
    Preset.QUICK: TuningOptions(
        families=("dcnv2",),
        scales=(1, 4),
        seeds=3,
        model=QUICK_MODEL,
        train=QUICK_TRAINING,
        search=SearchOptions(samples=8),
    ),
    Preset.PAPER: TuningOptions(
        preset=Preset.PAPER,
        families=("dnn", "ipnn", "nfwfm", "xdeepfm", "dcnv2", "finalmlp"),
        scales=(1, 2, 3, 4, 10),
        seeds=3,
        variant=Variant.PAPER,
        train=PAPER_TRAINING,
        search=SearchOptions(samples=24),
    ),
}


def main() -> int:
    """The command."""
    options = parse(PRESETS, sys.argv[1:], __doc__)
    dataset = dataset_of(options)
    name = study_name("tuning", options, dataset)
    grid = grid_of(options)
    found = search(name, dataset, grid, options.search, options.launch)
    untuned = replace(grid, name=Tuning.UNTUNED.value)
    tuned = replace(grid, name=Tuning.TUNED.value, per_cell=found.tuned)
    if options.launch.plan and found.missing:
        print("Of the trials to train, those with tuned settings follow from the search; they are as many as these:")
        return launch(name, "tuning", dataset, [untuned], options.launch, partial(write_page, "tuning"))
    status = launch(name, "tuning", dataset, [untuned, tuned], options.launch, partial(write_page, "tuning"))
    if found.missing:
        print(f"{found.missing} samples failed; the same command tries them again", file=sys.stderr)
    return 1 if found.missing else status


if __name__ == "__main__":
    run_command(main)
