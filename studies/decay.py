"""The decay study: weight decay (none, L2 inside the optimizer, decoupled) x table optimizers.

L2 of 1e-6 inside dense Adam, the paper's protocol, drives a row without gradients to zero within a hundred steps,
because Adam scales even so small a gradient up to its learning rate: low IA of a learned table may be erased rare rows.
Decoupled decay of the same 1e-6 is nothing, since a step shrinks a weight by learning_rate * decay only: over S steps
exp(-learning_rate * decay * S) is left. So the decoupled level is a flag: 1e-2, AdamW's usual value, leaves 0.7 after
36,000 steps (two epochs of Criteo) at 1e-3; the quick preset of about 1,000 steps takes 1, which leaves 0.4.
"""

import sys
from dataclasses import dataclass, replace

import _boot  # noqa: F401  isort: skip  (finds the package in a checkout)
from _recipe import QUICK_MODEL, QUICK_TRAINING, GridOptions, Preset, grid_of, parse, run

from recscale.entry import run_command
from recscale.records import PAPER_TRAINING, Decay, TableOptimizer, Variant
from recscale.study.grid import Axis, Grid

RECIPE = "decay"


@dataclass(frozen=True)
class DecayOptions(GridOptions):
    """Vary weight decay and table optimizer; compare quality and embedding collapse, by id and by frequency."""

    coupled_decay: float = 1e-6
    """L2 inside the optimizer; it takes the place of --weight-decay."""
    decoupled_decay: float = 1e-2
    """Decoupled weight decay: a step shrinks weights by learning_rate times this."""
    table_optimizers: tuple[TableOptimizer, ...] = tuple(TableOptimizer)
    """Table optimizers; they take the place of --table-optimizer."""


PRESETS = {
    Preset.QUICK: DecayOptions(
        families=("dcnv2",),
        scales=(1.0, 4.0),
        sets=("1",),
        model=QUICK_MODEL,
        train=QUICK_TRAINING,
        decoupled_decay=1.0,
    ),
    Preset.PAPER: DecayOptions(
        preset=Preset.PAPER,
        families=("dnn", "dcnv2"),
        scales=(1.0, 10.0),
        seeds=3,
        variant=Variant.PAPER,
        train=PAPER_TRAINING,
    ),
}


def grids(options: DecayOptions) -> list[Grid]:
    """One grid per level: none, coupled, decoupled."""
    levels = ((0.0, Decay.COUPLED), (options.coupled_decay, Decay.COUPLED), (options.decoupled_decay, Decay.DECOUPLED))
    optimizers = Axis("table_optimizer", tuple(each.value for each in options.table_optimizers))
    return [
        grid_of(replace(options, train=replace(options.train, weight_decay=weight, decay=decay)), [optimizers])
        for weight, decay in levels
    ]


def main() -> int:
    """The command."""
    options = parse(PRESETS, sys.argv[1:], __doc__)
    return run(RECIPE, options, grids(options))


if __name__ == "__main__":
    run_command(main)
