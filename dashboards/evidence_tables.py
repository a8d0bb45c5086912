"""The tables behind the collapse page: lines over scales, paths along training, heat-maps and their marginals."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dashboards.collapse_results import CollapseResults, Look, SubEmbeddingRow
from dashboards.results import Trial
from dashboards.tables import MeanPoint, grouped, mean_points

SURE = 0.05
"""Level at which a rank correlation counts as an order."""


@dataclass(frozen=True)
class Line:
    """One label and arm over scales."""

    label: str
    """Family and settings."""
    arm: str
    """SE | ME."""
    points: tuple[MeanPoint, ...]
    """By scale."""


@dataclass(frozen=True)
class PathPoint:
    """One label, arm and scale by two qualities."""

    scale: float
    """Scale of the trials."""
    x: float
    """Mean of the first quality over seeds."""
    y: float
    """Mean of the second quality over seeds."""
    trial_ids: tuple[str, ...]
    """The trials."""


@dataclass(frozen=True)
class BlockChoice:
    """One set of one model, as the dropdown offers it."""

    label: str
    """Family and settings."""
    scale: float
    """Scale of the trial."""
    num_sets: int
    """Embedding sets M."""
    set_index: int
    """Which of them."""


@dataclass(frozen=True)
class HeatMap:
    """IA(E_i^{->j}) of one set, fields in order of IA(E_i), smallest first."""

    trial_id: str
    """The trial."""
    fields: tuple[str, ...]
    """Names, in order."""
    own: tuple[float, ...]
    """IA(E_i), in order."""
    values: tuple[tuple[float | None, ...], ...]
    """Row i, column j; None where field i shows nothing to field j."""

    def along_i(self) -> list[float]:
        """Mean over j of what each field shows."""
        return _means(np.array(self.values, dtype=float), axis=1)

    def along_j(self) -> list[float]:
        """Mean over i of what is shown to each field."""
        return _means(np.array(self.values, dtype=float), axis=0)


@dataclass(frozen=True)
class Shown:
    """What the fields of one trial show to each other, in one number."""

    trial_id: str
    """The trial."""
    family: str
    """Family and settings."""
    arm: str
    """SE | ME."""
    scale: float
    """Scale of the trial."""
    num_sets: int
    """Embedding sets M."""
    seed: int
    """Seed of the trial."""
    ia_ratio_mean: float
    """IA(E_i^{->j}) over the most it can be, mean over pairs of fields and sets."""


@dataclass(frozen=True)
class Order:
    """Whether a marginal follows the order of IA(E_i)."""

    correlation: float
    """Spearman's rank correlation."""
    sure: bool
    """Whether it shows at level SURE over the fields."""


def over_scales(rows: Iterable[Any], labels: list[str], column: str) -> list[Line]:
    """A line per label and arm that has a value; rows are anything with a trial's axes."""
    groups = grouped(((row.family, row.arm), row) for row in rows if row.family in labels)
    lines = [
        Line(label, arm, tuple(mean_points(groups.get((label, arm), []), "scale", column)))
        for label in labels
        for arm in ("SE", "ME")
    ]
    return [line for line in lines if line.points]


def path(trials: tuple[Trial, ...], label: str, arm: str, x_column: str, y_column: str) -> list[PathPoint]:
    """Two qualities of one label and arm, a point per scale and number of sets, by scale."""
    rows = [
        ((trial.scale, trial.num_sets), trial)
        for trial in trials
        if (trial.family, trial.arm) == (label, arm)
        and getattr(trial, x_column) is not None
        and getattr(trial, y_column) is not None
    ]
    return [
        PathPoint(
            scale=scale,
            x=float(np.mean([getattr(trial, x_column) for trial in group])),
            y=float(np.mean([getattr(trial, y_column) for trial in group])),
            trial_ids=tuple(trial.trial_id for trial in group),
        )
        for (scale, _), group in sorted(grouped(rows).items())
    ]


def looks_at(results: CollapseResults, moment: str) -> list[Look]:
    """The looks of every trial at one moment."""
    return [look for look in results.looks or () if look.moment == moment]


def along_training(results: CollapseResults, label: str) -> dict[str, list[Look]]:
    """The looks of every trial of a label, SE first, then by scale."""
    mine = [look for look in results.looks or () if look.family == label]
    mine.sort(key=lambda look: (look.arm != "SE", look.scale, look.num_sets, look.seed))
    return grouped((look.trial_id, look) for look in mine)


def block_choices(results: CollapseResults) -> list[BlockChoice]:
    """Sets that have sub-embeddings, by label in the order of the table, largest scale first, single sets first."""
    rows = results.sub_embeddings or ()
    found = dict.fromkeys(BlockChoice(row.family, row.scale, row.num_sets, row.set_index) for row in rows)
    labels = list(dict.fromkeys(choice.label for choice in found))
    return sorted(found, key=lambda c: (labels.index(c.label), -c.scale, c.num_sets, c.set_index))


def heat_map(results: CollapseResults, choice: BlockChoice) -> HeatMap:
    """The abundances of one set."""
    rows = [row for row in results.sub_embeddings or () if _choice(row) == choice]
    own = {row.field: row.table_information_abundance for row in rows}
    fields = sorted(own, key=lambda field: (own[field], field))
    values = {(row.field, row.toward): row.information_abundance for row in rows}
    return HeatMap(
        trial_id=rows[0].trial_id,
        fields=tuple(fields),
        own=tuple(own[field] for field in fields),
        values=tuple(tuple(values.get((i, j)) for j in fields) for i in fields),
    )


def shown(results: CollapseResults) -> list[Shown]:
    """One row per trial that has sub-embeddings."""
    trials = grouped((row.trial_id, row) for row in results.sub_embeddings or ()).values()
    return [
        Shown(
            trial_id=rows[0].trial_id,
            family=rows[0].family,
            arm=rows[0].arm,
            scale=rows[0].scale,
            num_sets=rows[0].num_sets,
            seed=rows[0].seed,
            ia_ratio_mean=float(np.mean([row.ia_ratio for row in rows])),
        )
        for rows in trials
    ]


def order(own: tuple[float, ...], marginal: list[float]) -> Order | None:
    """The rank correlation of a marginal with IA(E_i); None where there are too few fields, or no two values."""
    if len(own) < 3 or len(set(own)) < 2 or len(set(marginal)) < 2:
        return None
    from scipy.stats import spearmanr  # only here: it takes half a second

    found = spearmanr(own, marginal)
    return Order(correlation=float(found.statistic), sure=bool(found.pvalue < SURE))


def largest_single(results: CollapseResults, label: str) -> tuple[Trial, ...]:
    """The finished single-embedding trials of a label at its largest scale."""
    mine = [trial for trial in results.study.finished if (trial.family, trial.arm) == (label, "SE")]
    largest = max((trial.scale for trial in mine), default=0.0)
    return tuple(trial for trial in mine if trial.scale == largest)


def _choice(row: SubEmbeddingRow) -> BlockChoice:
    return BlockChoice(row.family, row.scale, row.num_sets, row.set_index)


def _means(values_NN: np.ndarray, axis: int) -> list[float]:
    """Means of what is there."""
    return [float(mean) for mean in np.nanmean(values_NN, axis=axis)]
