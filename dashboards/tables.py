"""The tables behind the scaling and the cost figures: frozen rows, computed from a study's trials and curves."""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import numpy as np

from dashboards.results import StudyResults, Trial

Key = TypeVar("Key", bound=Hashable)
Row = TypeVar("Row")


class Axis(StrEnum):
    """What a model's size is measured by."""

    SCALE = "scale"
    TABLE_PARAMS = "table_params"
    DENSE_PARAMS = "dense_params"
    TOTAL_PARAMS = "total_params"
    FLOPS = "flops_per_sample"


class Metric(StrEnum):
    """Quality on the test split."""

    AUC = "test_auc"
    LOG_LOSS = "test_log_loss"
    NORMALIZED_ENTROPY = "test_normalized_entropy"


class Cost(StrEnum):
    """What a trial costs."""

    SECONDS = "seconds"
    FLOPS = "flops_per_sample"


@dataclass(frozen=True, order=True)
class Model:
    """A family as a page tells it apart."""

    family: str
    """Family of the model."""
    variant: str
    """paper | fair."""


@dataclass(frozen=True)
class SeedPoint:
    """One trial on a curve."""

    trial_id: str
    """The trial."""
    seed: int
    """Its seed."""
    x: float
    """Its size on the axis."""
    y: float
    """Its quality."""


@dataclass(frozen=True)
class MeanPoint:
    """The trials of one arm and size, over seeds."""

    arm: str
    """SE | ME."""
    scale: float
    """Scale of the trials."""
    num_sets: int
    """Embedding sets M of the trials."""
    x: float
    """Size on the axis."""
    mean: float
    """Mean over seeds."""
    std: float | None
    """Standard deviation over seeds (n - 1); None with one seed."""
    seeds: tuple[SeedPoint, ...]
    """The trials, by seed."""


@dataclass(frozen=True)
class FitLine:
    """A fitted curve on its grid."""

    arm: str
    """SE | ME."""
    law: str
    """Name of the selected law."""
    formula: str
    """The law with its fitted numbers."""
    x: tuple[float, ...]
    """Grid."""
    mean: tuple[float, ...]
    """Fitted curve."""
    low: tuple[float, ...]
    """Lower end of the 90 % interval."""
    high: tuple[float, ...]
    """Upper end of the 90 % interval."""


@dataclass(frozen=True)
class Ceiling:
    """The best that any model can reach, and whether the drawn range has room for it."""

    value: float
    """In the metric's units."""
    in_range: bool
    """True where drawing it at most doubles the y axis."""
    above: bool
    """True where it lies above the data."""


@dataclass(frozen=True)
class CostPoint:
    """One finished trial's cost and quality."""

    model: Model
    """Family and variant."""
    arm: str
    """SE | ME."""
    trial_id: str
    """The trial."""
    scale: float
    """Its scale."""
    seed: int
    """Its seed."""
    cost: float
    """In the unit of the cost."""
    test_auc: float
    """AUC on the test split."""


def models(results: StudyResults) -> list[Model]:
    """Families and variants with a finished trial, in the order of the grid."""
    return list(dict.fromkeys(Model(trial.family, trial.variant) for trial in results.finished))


def trials_of(results: StudyResults, model: Model) -> list[Trial]:
    """The finished trials of one family and variant."""
    return [trial for trial in results.finished if (trial.family, trial.variant) == (model.family, model.variant)]


def place_of(results: StudyResults, label: str, variant: str) -> int:
    """Where a family stands in the grid; its label may go on with the settings in which its trials differ."""
    found = models(results)
    model = Model(label.split(" ")[0], variant)
    return found.index(model) if model in found else len(found)


def grouped(rows: Iterable[tuple[Key, Row]]) -> dict[Key, list[Row]]:
    """Rows by key, both in the order of arrival."""
    groups: dict[Key, list[Row]] = defaultdict(list)
    for key, row in rows:
        groups[key].append(row)
    return dict(groups)


def mean_points(trials: Iterable[Trial], x_column: str, y_column: str) -> list[MeanPoint]:
    """One point per arm, num_sets and scale, by arm (SE first) and x; trials without x or y are left out."""
    seeds: list[tuple[tuple[str, int, float], SeedPoint]] = []
    for trial in trials:
        x, y = getattr(trial, x_column), getattr(trial, y_column)
        if x is not None and y is not None:
            point = SeedPoint(trial_id=trial.trial_id, seed=trial.seed, x=x, y=y)
            seeds.append(((trial.arm, trial.num_sets, trial.scale), point))
    points = [_mean_point(key, group) for key, group in grouped(seeds).items()]
    return sorted(points, key=lambda point: (point.arm != "SE", point.x, point.num_sets))


def _mean_point(key: tuple[str, int, float], group: list[SeedPoint]) -> MeanPoint:
    """The seeds of one arm, num_sets and scale as one point."""
    values = np.array([point.y for point in group])
    return MeanPoint(
        arm=key[0],
        num_sets=key[1],
        scale=key[2],
        x=float(np.mean([point.x for point in group])),
        mean=float(values.mean()),
        std=float(values.std(ddof=1)) if len(group) > 1 else None,
        seeds=tuple(sorted(group, key=lambda point: point.seed)),
    )


def fit_lines(results: StudyResults, model: Model, axis: Axis, metric: Metric) -> list[FitLine]:
    """The selected law per arm; empty where nothing was fitted on that axis."""
    curves = results.curves.curves if results.curves else ()
    return [
        FitLine(
            arm=str(curve.arm),
            law=curve.law,
            formula=curve.formula,
            x=tuple(curve.grid_x),
            mean=tuple(curve.grid_mean),
            low=tuple(curve.grid_low),
            high=tuple(curve.grid_high),
        )
        for curve in curves
        if (curve.family, str(curve.variant)) == (model.family, model.variant)
        and (curve.x_axis, curve.metric) == (axis.value, metric.value)
        and curve.law is not None
    ]


def bayes_value(results: StudyResults, metric: Metric) -> float | None:
    """The Bayes ceiling of a metric; NE divides by the base rate's entropy, which is any trial's log loss / NE."""
    if metric is Metric.AUC:
        return results.provenance_number("bayes_auc")
    log_loss = results.provenance_number("bayes_log_loss")
    if metric is Metric.LOG_LOSS or log_loss is None:
        return log_loss
    ratios = [
        trial.test_normalized_entropy / trial.test_log_loss
        for trial in results.finished
        if trial.test_log_loss and trial.test_normalized_entropy
    ]
    return log_loss * ratios[0] if ratios else None


def ceiling(value: float | None, points: list[MeanPoint], lines: list[FitLine]) -> Ceiling | None:
    """Places the Bayes ceiling relative to what is drawn; None where it is unknown or nothing is drawn."""
    drawn = [seed.y for point in points for seed in point.seeds] + [y for line in lines for y in line.low + line.high]
    if value is None or not drawn:
        return None
    low, high = min(drawn), max(drawn)
    outside = max(low - value, value - high, 0.0)
    return Ceiling(value=value, in_range=outside <= high - low, above=value > high)


def cost_points(results: StudyResults, cost: Cost) -> list[CostPoint]:
    """One point per finished trial that knows its cost and its test AUC."""
    return [
        CostPoint(
            model=Model(trial.family, trial.variant),
            arm=trial.arm,
            trial_id=trial.trial_id,
            scale=trial.scale,
            seed=trial.seed,
            cost=float(spent),
            test_auc=trial.test_auc,
        )
        for trial in results.finished
        if (spent := getattr(trial, cost.value)) is not None and trial.test_auc is not None
    ]
