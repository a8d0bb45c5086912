"""The ablation study: what of multi-embedding matters, by taking one part of it away at a time.

Beside single-embedding (SE) and multi-embedding (ME): one interaction for all sets, one set of tables for all
interactions, the mean of logits, concatenation, penalties that make the sets' patterns alike or their subspaces unlike,
and a flattened spectrum on SE. The same command again resumes it.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import _boot  # noqa: F401  isort: skip  (finds the package in a checkout)
from _recipe import QUICK_MODEL, QUICK_TRAINING, GridOptions, Preset, grid_of, parse, run

from recscale.entry import run_command
from recscale.errors import ConfigError
from recscale.records import PAPER_TRAINING, Combination, Penalty, Sharing, Variant
from recscale.study.grid import SETS_FOLLOW_SCALE, Axis, Grid


class Ablation(StrEnum):
    """One change to multi-embedding; the last is to single-embedding."""

    SHARED_INTERACTION = "shared_interaction"
    SHARED_TABLES = "shared_tables"
    MEAN_LOGITS = "mean_logits"
    CONCATENATION = "concatenation"
    PATTERN_ALIGNMENT = "pattern_alignment"
    SUBSPACE_SIMILARITY = "subspace_similarity"
    SPECTRUM_FLATTENING = "spectrum_flattening"


CHANGED = {
    **{ablation: "sharing" for ablation in Ablation if ablation in {*Sharing}},
    **{ablation: "combination" for ablation in Ablation if ablation in {*Combination}},
    **{ablation: "penalty" for ablation in Ablation if ablation in {*Penalty}},
}
"""The setting that an ablation changes, to the value of its own name."""


@dataclass(frozen=True)
class AblationOptions(GridOptions):
    """Train single-embedding, multi-embedding and variants that take one part of it away, at the same scales."""

    families: tuple[str, ...] = ("dcnv2",)
    """Model families, or dotted modules of your own; a variant that a family does not admit is refused by name."""
    scales: tuple[float, ...] = (1, 4)
    """Embedding budgets as multiples of base_dim; variants of multi-embedding begin above 1 set."""
    ablations: tuple[Ablation, ...] = tuple(Ablation)
    """The variants to train beside the two baselines."""


PRESETS = {
    Preset.QUICK: AblationOptions(model=QUICK_MODEL, train=QUICK_TRAINING),
    Preset.PAPER: AblationOptions(
        preset=Preset.PAPER,
        scales=(10,),
        seeds=3,
        variant=Variant.PAPER,
        train=PAPER_TRAINING,
    ),
}


def grids_of(options: AblationOptions) -> list[Grid]:
    """The baselines, then a grid per ablation; ConfigError where the options leave nothing to compare."""
    _check(options)
    own = [axis for axis in grid_of(options).axes if axis.field != "penalty_weight"]
    train = replace(options.train, penalty_weight=None)
    base = replace(grid_of(options), train=train, axes=tuple(own))
    single, multi = replace(base, sets=("1",)), list(_multi(base))
    if not multi:
        raise ConfigError(
            f"scales {list(options.scales)} with sets {list(options.sets)} have no multi-embedding; add a scale above 1"
        )
    grids = [single, *multi]
    for ablation in options.ablations:
        changed = [single] if ablation is Ablation.SPECTRUM_FLATTENING else multi
        grids += [_changed(grid, ablation, options) for grid in changed]
    return grids


def _check(options: AblationOptions) -> None:
    """Refuses settings that are the study's own to change."""
    chosen = {**vars(options.model), **vars(options.train)}
    usual = {"sharing": Sharing.SEPARATE, "combination": Combination.MEAN_FEATURES, "penalty": Penalty.NONE}
    taken = [name for name, value in usual.items() if chosen[name] != value]
    taken += [axis.field for axis in grid_of(options).axes if axis.field in usual]
    if taken:
        raise ConfigError(f"{taken[0]} is what ablations compare; leave it out and choose with --ablations")


def _multi(base: Grid) -> Iterator[Grid]:
    """A grid per number of sets, over the scales at which there are several."""
    for sets in base.sets:
        scales = tuple(scale for scale in base.scales if sets != SETS_FOLLOW_SCALE or scale > 1)
        if sets != "1" and scales:
            yield replace(base, sets=(sets,), scales=scales)


def _changed(grid: Grid, ablation: Ablation, options: AblationOptions) -> Grid:
    """The grid with one setting changed; a given weight of penalties leaves the baselines as they are."""
    name = CHANGED[ablation]
    axes = (Axis(name, (ablation.value,)), *grid.axes)
    if name != "penalty":
        return replace(grid, axes=axes)
    weights = tuple(axis for axis in grid_of(options).axes if axis.field == "penalty_weight")
    return replace(grid, axes=(*axes, *weights), train=options.train)


def main() -> int:
    """The command."""
    options = parse(PRESETS, sys.argv[1:], __doc__)
    return run("ablations", options, grids_of(options))


if __name__ == "__main__":
    run_command(main)
