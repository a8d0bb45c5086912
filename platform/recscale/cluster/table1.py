"""`recscale reproduce table1`: the paper's Table 1 on one's own machines, ours printed beside theirs."""

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from recscale.cluster.launch import LaunchOptions, Report, launch
from recscale.curves.published import PublishedDataset
from recscale.data.reader import Dataset
from recscale.records import PAPER_TRAINING, ModelSettings, TrainSpec, Variant
from recscale.storage.location import location, write_atomic
from recscale.study.grid import SETS_FOLLOW_SCALE, Grid
from recscale.study.study import Study, read_study
from recscale.study.table1 import (
    FAMILIES,
    SCALES,
    check_cells,
    published_dataset,
    table1_csv,
    table1_of,
    table1_text,
)


@dataclass(frozen=True, kw_only=True)
class Table1Options:
    """Train Table 1 of Guo et al. 2024 with its protocol; print ours beside theirs and write table1.csv."""

    data: str
    """A dataset made by `recscale prepare criteo` or `recscale prepare avazu`: a folder, s3:// or gs://."""
    against: PublishedDataset | None = None
    """criteo | avazu: the published table to compare with. None: that of the dataset's own format."""
    name: str | None = None
    """The study's name: its folder inside the storage. None: table1-DATASET."""
    families: tuple[str, ...] = FAMILIES
    """Families of Table 1 to train."""
    scales: tuple[float, ...] = SCALES
    """Scales of Table 1 to train."""
    seeds: int = 3
    """Seeds per cell."""
    train: Annotated[TrainSpec, tyro.conf.OmitArgPrefixes] = field(default_factory=lambda: PAPER_TRAINING)
    """Training settings; the defaults are the paper's."""
    launch: Annotated[LaunchOptions, tyro.conf.OmitArgPrefixes] = field(default_factory=LaunchOptions)
    """Where and how to run."""


def reproduce_table1(options: Table1Options, report: Report) -> int:
    """Runs the grid to its end and prints the comparison; with --plan only the plan. 1 where a trial failed."""
    check_cells(options.families, options.scales)
    dataset = Dataset.open(options.data)
    against = published_dataset(dataset.manifest.source.format, dataset.manifest.name, options.against)
    name = options.name or f"table1-{dataset.manifest.name}"
    status = launch(name, "scaling", dataset, [_grid(options)], options.launch, report)
    if not options.launch.plan:
        _print(read_study(location(options.launch.storage) / name), against, dataset.manifest.name)
    return status


def _grid(options: Table1Options) -> Grid:
    """Table 1's axes, at the paper's own sizes."""
    return Grid(
        families=options.families,
        scales=options.scales,
        sets=("1", SETS_FOLLOW_SCALE),
        seeds=options.seeds,
        variant=Variant.PAPER,
        base_dim=None,
        model=ModelSettings(),
        train=options.train,
    )


def _print(study: Study, against: PublishedDataset, dataset: str) -> None:
    """Both tables on standard output, and table1.csv in the study's folder."""
    finished = study.store.finished(study.spec.trials)
    cells = table1_of(study.spec.trials, finished, against)
    path = study.folder / "table1.csv"
    write_atomic(path, table1_csv(cells))
    print(f"{table1_text(cells, against, dataset)}\ntable: {path}")
