"""The scaling study: families x scales x numbers of embedding sets x seeds on one dataset.

With no arguments it runs the quick study on the embedded synthetic world. The same command again resumes it: finished
trials are skipped, failed ones are tried again, and a larger grid adds only what is new.
"""

import sys
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import _boot  # noqa: F401  isort: skip  (finds the package in a checkout)
import tyro

from dashboards.scaling import write_study_report
from recscale.cluster.launch import LaunchOptions, launch
from recscale.data.reader import Dataset
from recscale.data.synthetic import write_synthetic
from recscale.entry import run_command
from recscale.errors import ConfigError
from recscale.records import PAPER_TRAINING, ModelSettings, TrainSpec, Variant
from recscale.study.grid import Axis, Grid


class Preset(StrEnum):
    """Starting points; every other flag overrides them."""

    QUICK = "quick"
    PAPER = "paper"


@dataclass(frozen=True)
class ScalingOptions:
    """Train a grid of families, scales and embedding sets; fit scaling curves; measure embedding collapse."""

    preset: Preset = Preset.QUICK
    """quick: minutes on two cores; paper: Table 1's grid and protocol (Guo et al. 2024)."""
    data: Path | None = None
    """A dataset made by `recscale prepare`. None: the embedded synthetic world."""
    rows: int = 100_000
    """Rows of the synthetic world, where --data is not given."""
    name: str | None = None
    """The study's name: its folder inside the storage. None: scaling-DATASET."""
    families: tuple[str, ...] = ("dnn", "dcnv2")
    """Model families, or dotted modules of your own."""
    scales: tuple[float, ...] = (1, 2, 4)
    """Embedding budgets as multiples of base_dim."""
    sets: tuple[str, ...] = ("1", "scale")
    """Numbers of embedding sets; `scale` is as many sets as the scale."""
    seeds: int = 2
    """Seeds per cell."""
    variant: Variant = Variant.FAIR
    """fair: arms are like for like; paper: as the paper's released code, where the two differ."""
    base_dim: int | None = None
    """Embedding budget at scale 1. None: the family's own (10; nfwfm 50)."""
    axes: tuple[str, ...] = ()
    """Further axes, e.g. learning_rate=1e-3,1e-4; a list value is joined by +, e.g. hidden_sizes=400+400,200+200."""
    model: Annotated[ModelSettings, tyro.conf.OmitArgPrefixes] = field(default_factory=ModelSettings)
    """Model settings."""
    train: Annotated[TrainSpec, tyro.conf.OmitArgPrefixes] = field(default_factory=TrainSpec)
    """Training settings."""
    launch: Annotated[LaunchOptions, tyro.conf.OmitArgPrefixes] = field(default_factory=LaunchOptions)
    """Where and how to run."""


QUICK = ScalingOptions(
    model=ModelSettings(hidden_sizes=(128, 128)),
    train=TrainSpec(batch_size=512, max_epochs=6, patience=2),
)
PAPER = ScalingOptions(
    preset=Preset.PAPER,
    families=("dnn", "ipnn", "nfwfm", "xdeepfm", "dcnv2", "finalmlp"),
    scales=(1, 2, 3, 4, 10),
    seeds=3,
    variant=Variant.PAPER,
    train=PAPER_TRAINING,
)
PRESETS = {Preset.QUICK: QUICK, Preset.PAPER: PAPER}


def parse(arguments: list[str]) -> ScalingOptions:
    """Reads the command line over the preset that it names."""
    named = [value for flag, value in pairwise(arguments) if flag == "--preset"]
    preset = Preset(named[-1]) if named and named[-1] in set(Preset) else Preset.QUICK
    return tyro.cli(
        ScalingOptions,
        args=arguments,
        default=PRESETS[preset],
        description=__doc__,
        config=(tyro.conf.EnumChoicesFromValues, tyro.conf.FlagCreatePairsOff),
    )


def grid_of(options: ScalingOptions) -> Grid:
    """The axes as the study reads them."""
    return Grid(
        families=options.families,
        scales=options.scales,
        sets=options.sets,
        seeds=options.seeds,
        variant=options.variant,
        base_dim=options.base_dim,
        model=options.model,
        train=options.train,
        axes=tuple(_axis(text) for text in options.axes),
    )


def _axis(text: str) -> Axis:
    name, separator, values = text.partition("=")
    if not separator or not values:
        raise ConfigError(f"axis {text!r} is not FIELD=VALUE,VALUE; e.g. learning_rate=1e-3,1e-4")
    return Axis(name, tuple(values.split(",")))


def dataset_of(options: ScalingOptions) -> Dataset:
    """The named dataset, or the synthetic world of that size, made once per storage."""
    if options.data is not None:
        return Dataset.open(options.data)
    folder = options.launch.storage.absolute() / "data" / f"synthetic-{options.rows}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_synthetic(folder, rows=options.rows)
    return Dataset.open(folder)


def main() -> int:
    """The command."""
    options = parse(sys.argv[1:])
    dataset = dataset_of(options)
    name = options.name or f"scaling-{dataset.manifest.name}"
    return launch(name, dataset, grid_of(options), options.launch, write_study_report)


if __name__ == "__main__":
    run_command(main)
