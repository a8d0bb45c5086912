"""Published results to set ours beside.

guo2024_auc_v1.csv: test AUC of Guo, Pan, Wang, Chen, Jiang, Long, "On the Embedding Collapse When Scaling Up
Recommendation Models", arXiv 2310.04400 version 1, the table of single- and multi-embedding at base, 2x, 3x, 4x and 10x
on Criteo and Avazu, mean and standard deviation of 3 runs. Cells that the paper leaves empty have no numbers.
"""

import csv
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files

from recscale.records import Arm

SOURCE = "Guo et al. 2024, v1"
RUNS = 3
"""Runs behind every published mean."""


class PublishedDataset(StrEnum):
    """Datasets of the table; the values are the formats of `recscale prepare`."""

    CRITEO = "criteo"
    AVAZU = "avazu"


@dataclass(frozen=True)
class PublishedAuc:
    """One cell of the table."""

    family: str
    """Our name of the family."""
    arm: Arm
    """SE | ME; the base is SE at scale 1."""
    scale: float
    """Embedding budget as a multiple of the base."""
    mean: float
    """Test AUC, mean of the runs."""
    std: float
    """Standard deviation over the runs."""


def published_aucs(dataset: PublishedDataset) -> tuple[PublishedAuc, ...]:
    """The table of one dataset, in its own order."""
    text = files(__name__).joinpath("guo2024_auc_v1.csv").read_text(encoding="utf-8")
    return tuple(
        PublishedAuc(
            family=row["model"].lower(),
            arm=Arm.MULTI if row["variant"] == "ME" else Arm.SINGLE,
            scale=float(row["scale"].removesuffix("x")),
            mean=float(row["auc_mean"]),
            std=float(row["auc_std_3runs"]),
        )
        for row in csv.DictReader(text.splitlines())
        if row["dataset"].lower() == dataset.value and row["auc_mean"]
    )
