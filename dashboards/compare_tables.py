"""The tables behind the comparison of studies: the cells that two of them share, and how they differ."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.results import StudyResults, Trial
from dashboards.tables import Metric, Model, grouped
from recscale.curves.curve import Observation
from recscale.curves.differences import Difference, Trend, difference

LEVEL = 0.9
"""Nominal coverage of the intervals; each cell is judged by itself."""


@dataclass(frozen=True)
class Cell:
    """One configuration, whatever its seed."""

    model: Model
    """Family and variant."""
    arm: str
    """SE | ME."""
    num_sets: int
    """Embedding sets M."""
    scale: float
    """Embedding budget as a multiple of the base dimension."""
    further: tuple[tuple[str, str], ...]
    """Further axes of the study, as text."""


@dataclass(frozen=True)
class CellDifference:
    """One cell that two studies share."""

    cell: Cell
    """The configuration."""
    study: str
    """The study that is compared with the reference."""
    difference: Difference
    """Its mean minus the reference's."""
    trial_ids: tuple[str, ...]
    """Trials of both, the reference's first."""


def cells(results: StudyResults) -> dict[Cell, list[Trial]]:
    """Finished trials by configuration, in the order of the grid."""
    return grouped((_cell(trial), trial) for trial in results.finished)


def _cell(trial: Trial) -> Cell:
    model = Model(trial.family, trial.variant)
    return Cell(model, trial.arm, trial.num_sets, trial.scale, trial.further)


def cell_differences(reference: StudyResults, other: StudyResults, metric: Metric) -> list[CellDifference]:
    """Every shared cell, with Welch's interval over seeds."""
    first, second = cells(reference), cells(other)
    return [
        CellDifference(
            cell=cell,
            study=other.name,
            difference=difference(_observe(before, metric), _observe(second[cell], metric), level=LEVEL),
            trial_ids=tuple(trial.trial_id for trial in (*before, *second[cell])),
        )
        for cell, before in first.items()
        if cell in second
    ]


def _observe(trials: Sequence[Trial], metric: Metric) -> list[Observation]:
    return [Observation(t.scale, t.scale, getattr(t, metric.value), t.trial_id) for t in trials]


def unshared(reference: StudyResults, other: StudyResults) -> tuple[int, int]:
    """Cells that only the reference has finished, and that only the other has."""
    first, second = set(cells(reference)), set(cells(other))
    return len(first - second), len(second - first)


def sentences(reference: StudyResults, others: Sequence[StudyResults]) -> list[str]:
    """What the comparison shows in AUC, one sentence per other study and family."""
    lines = []
    for other in others:
        rows = cell_differences(reference, other, Metric.AUC)
        if not rows:
            lines.append(f"{other.name} and {reference.name} share no finished cell.")
        for model, group in grouped((row.cell.model, row) for row in rows).items():
            told = _counted if same_data(reference, other) else _uncounted
            lines.append(f"{model.family}: {told(other.name, reference.name, group)}")
        only = unshared(reference, other)
        if any(only):
            lines.append(f"Left out: {only[0]} cells only in {reference.name}, {only[1]} only in {other.name}.")
    return lines


def _counted(name: str, reference: str, rows: list[CellDifference]) -> str:
    trends = Counter(row.difference.trend for row in rows)
    mean = sum(row.difference.value for row in rows) / len(rows)
    parts = (
        (trends[Trend.RISES], "higher"),
        (trends[Trend.FALLS], "lower"),
        (trends[Trend.WITHIN_NOISE], "within seed noise"),
        (trends[Trend.ONE_SEED], "with too few seeds for an interval"),
    )
    shown = ", ".join(f"{count} {words}" for count, words in parts if count)
    return (
        f"of {len(rows)} shared cells, the test AUC of {name} against {reference} is {shown} ({LEVEL:.0%} intervals, "
        f"each cell by itself); mean difference {mean:+.4f}."
    )


def _uncounted(name: str, reference: str, rows: list[CellDifference]) -> str:
    """No claim where another test split is scored: its AUC differs whatever the models do."""
    return (
        f"{len(rows)} shared cells, but {name} and {reference} read different data, so that a difference of their test "
        "AUC says nothing about the models."
    )


def same_data(first: StudyResults, second: StudyResults) -> bool:
    """Whether both studies know their data by the same fingerprint, or neither knows it."""
    prints = [dict(study.provenance).get("dataset_fingerprint", "unknown") for study in (first, second)]
    return prints[0] == prints[1]


def data_note(studies: Sequence[StudyResults]) -> str:
    """A warning where the studies did not read the same data; empty where they did."""
    if all(same_data(studies[0], study) for study in studies):
        return ""
    return (
        "These studies read different data, so that their test rows differ: compare how the curves run, not how high "
        "they lie."
    )
