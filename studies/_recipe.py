"""What every recipe shares: the grid's axes and settings as flags, presets, and the data they run on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import pairwise
from typing import Annotated, TypeVar

import tyro

from dashboards.pages import write_page
from recscale.cluster.launch import LaunchOptions, launch
from recscale.data.manifest import MANIFEST_NAME
from recscale.data.mirror import published
from recscale.data.reader import Dataset
from recscale.data.synthetic import write_synthetic
from recscale.errors import ConfigError
from recscale.records import ModelSettings, TrainSpec, Variant
from recscale.storage.location import location
from recscale.study.grid import Axis, Grid


class Preset(StrEnum):
    """Starting points; every other flag overrides them."""

    QUICK = "quick"
    PAPER = "paper"


@dataclass(frozen=True)
class GridOptions:
    """Axes and settings of a grid, where to find the data, and how to run."""

    preset: Preset = Preset.QUICK
    """quick: minutes on two cores; paper: the paper's grid and protocol (Guo et al. 2024)."""
    data: str | None = None
    """A dataset made by `recscale prepare`: a folder, s3:// or gs://. None: the embedded synthetic world."""
    rows: int = 100_000
    """Rows of the synthetic world, where --data is not given."""
    name: str | None = None
    """The study's name: its folder inside the storage. None: RECIPE-DATASET."""
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
    """Embedding budget at scale 1. None: the family's own (10; nfwfm 50, ffm 4)."""
    axes: tuple[str, ...] = ()
    """Further axes, e.g. learning_rate=1e-3,1e-4; a list value is joined by +, e.g. hidden_sizes=400+400,200+200."""
    model: Annotated[ModelSettings, tyro.conf.OmitArgPrefixes] = field(default_factory=ModelSettings)
    """Model settings."""
    train: Annotated[TrainSpec, tyro.conf.OmitArgPrefixes] = field(default_factory=TrainSpec)
    """Training settings."""
    launch: Annotated[LaunchOptions, tyro.conf.OmitArgPrefixes] = field(default_factory=LaunchOptions)
    """Where and how to run."""


QUICK_MODEL = ModelSettings(hidden_sizes=(128, 128))
QUICK_TRAINING = TrainSpec(batch_size=512, max_epochs=6, patience=2)
"""Settings with which a quick study on the embedded world ends in minutes on two cores."""

Options = TypeVar("Options", bound=GridOptions)


def parse(presets: Mapping[Preset, Options], arguments: list[str], description: str | None) -> Options:
    """Reads the command line over the preset that it names, quick where it names none."""
    named = [value for flag, value in pairwise(arguments) if flag == "--preset"]
    preset = Preset(named[-1]) if named and named[-1] in {*presets} else Preset.QUICK
    default = presets[preset]
    return tyro.cli(
        type(default),
        args=arguments,
        default=default,
        description=description,
        config=(tyro.conf.EnumChoicesFromValues, tyro.conf.FlagCreatePairsOff),
    )


def grid_of(options: GridOptions, axes: Sequence[Axis] = ()) -> Grid:
    """The axes as the study reads them; a recipe's own axes come before the user's."""
    return Grid(
        families=options.families,
        scales=options.scales,
        sets=options.sets,
        seeds=options.seeds,
        variant=options.variant,
        base_dim=options.base_dim,
        model=options.model,
        train=options.train,
        axes=(*axes, *(_axis(text) for text in options.axes)),
    )


def numbers(field: str, values: Sequence[float]) -> Axis:
    """An axis of numbers."""
    return Axis(field, tuple(f"{value:g}" for value in values))


def _axis(text: str) -> Axis:
    name, separator, values = text.partition("=")
    if not separator or not values:
        raise ConfigError(f"axis {text!r} is not FIELD=VALUE,VALUE; e.g. learning_rate=1e-3,1e-4")
    return Axis(name, tuple(values.split(",")))


def dataset_of(options: GridOptions) -> Dataset:
    """The named dataset, or the synthetic world of that size, made once per storage."""
    if options.data is not None:
        return Dataset.open(options.data)
    place = str(location(options.launch.storage) / "data" / f"synthetic-{options.rows}")
    if not (location(place) / MANIFEST_NAME).exists():
        with published(place) as folder:
            write_synthetic(folder, rows=options.rows)
    return Dataset.open(place)


def study_name(recipe: str, options: GridOptions, dataset: Dataset) -> str:
    """As given, else the recipe's and the dataset's names."""
    return options.name or f"{recipe}-{dataset.manifest.name}"


def run(recipe: str, options: GridOptions, grids: Sequence[Grid]) -> int:
    """Runs a recipe's grids as one study with the recipe's page; the exit status."""
    dataset = dataset_of(options)
    name = study_name(recipe, options, dataset)
    return launch(name, recipe, dataset, grids, options.launch, partial(write_page, recipe))
