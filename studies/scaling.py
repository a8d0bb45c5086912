"""The scaling study: families x scales x numbers of embedding sets x seeds on one dataset.

With no arguments it runs the quick study on the embedded synthetic world. The same command again resumes it: finished
trials are skipped, failed ones are tried again, and a larger grid adds only what is new.
"""

import sys
from dataclasses import dataclass

import _boot  # noqa: F401  isort: skip  (finds the package in a checkout)
from _recipe import QUICK_MODEL, QUICK_TRAINING, GridOptions, Preset, dataset_of, grid_of, parse, study_name

from dashboards.scaling import write_study_report
from recscale.cluster.launch import launch
from recscale.entry import run_command
from recscale.records import PAPER_TRAINING, Variant


@dataclass(frozen=True)
class ScalingOptions(GridOptions):
    """Train a grid of families, scales and embedding sets; fit scaling curves; measure embedding collapse."""


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


def main() -> int:
    """The command."""
    options = parse(PRESETS, sys.argv[1:], __doc__)
    dataset = dataset_of(options)
    name = study_name("scaling", options, dataset)
    return launch(name, "scaling", dataset, [grid_of(options)], options.launch, write_study_report)


if __name__ == "__main__":
    run_command(main)
