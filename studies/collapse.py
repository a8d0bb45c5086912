"""The collapse study: do embedding tables collapse, where does it come from, and does it decide quality?

Spectra and information abundance of learned against random tables; what fields show to each other (Evidence I); the toy
experiment (II); dcnv2 with and without the orthogonality regulariser (III); families of unlike abundance (IV), as in
Guo et al. 2024. The same command again resumes it.
"""

import sys
from dataclasses import dataclass, replace

import _boot  # noqa: F401  isort: skip  (finds the package in a checkout)
from _recipe import QUICK_MODEL, QUICK_TRAINING, GridOptions, Preset, dataset_of, grid_of, parse, study_name

from dashboards.pages import write_page
from recscale.cluster.launch import launch
from recscale.entry import run_command
from recscale.errors import ConfigError
from recscale.records import PAPER_TRAINING, Penalty, Variant
from recscale.storage.location import Location
from recscale.study.grid import Axis, Grid
from recscale.study.toy import toy_grid, write_toy


@dataclass(frozen=True)
class CollapseOptions(GridOptions):
    """Train families over scales, some with the orthogonality regulariser; measure where abundance is lost."""

    families: tuple[str, ...] = ("dcnv2", "dnn", "ffm")
    """Model families, or dotted modules of your own."""
    regularized: tuple[str, ...] = ("dcnv2",)
    """Families whose single-embedding models are trained with the orthogonality regulariser, too; they need blocks
    between fields that are learned."""
    orthogonality_weights: tuple[float, ...] = (1e-4,)
    """Weights of the regulariser, which the paper does not give; its released code has 1e-5 or 1e-4."""
    toy_dims: tuple[int, ...] = (10,)
    """Embedding dimensions K of the toy experiment."""
    toy_seeds: int = 5
    """Seeds of the toy experiment; 0 leaves it out."""


PRESETS = {
    Preset.QUICK: CollapseOptions(model=QUICK_MODEL, train=QUICK_TRAINING),
    Preset.PAPER: CollapseOptions(
        preset=Preset.PAPER,
        scales=(1, 2, 3, 4, 10),
        seeds=3,
        variant=Variant.PAPER,
        train=PAPER_TRAINING,
    ),
}


def grids_of(options: CollapseOptions) -> list[Grid]:
    """The families, then those with the regulariser; ConfigError where a setting is the study's own to change."""
    base = grid_of(options)
    taken = [axis.field for axis in base.axes if axis.field.startswith("penalty")]
    if options.train.penalty is not Penalty.NONE or options.train.penalty_weight is not None or taken:
        raise ConfigError(
            "penalties are what this study compares; choose with --regularized and --orthogonality-weights instead"
        )
    if not options.regularized or not options.orthogonality_weights:
        return [base]
    weights = Axis("penalty_weight", tuple(map(repr, options.orthogonality_weights)))
    train = replace(options.train, penalty=Penalty.ORTHOGONALITY)
    return [base, replace(base, families=options.regularized, sets=("1",), train=train, axes=(weights, *base.axes))]


def main() -> int:
    """The command."""
    options = parse(PRESETS, sys.argv[1:], __doc__)
    grids, toys = grids_of(options), toy_grid(options.toy_dims, options.toy_seeds)
    dataset = dataset_of(options)

    def report(study_folder: Location) -> Location:
        write_toy(study_folder, toys)
        return write_page("collapse", study_folder)

    return launch(study_name("collapse", options, dataset), "collapse", dataset, grids, options.launch, report)


if __name__ == "__main__":
    run_command(main)
