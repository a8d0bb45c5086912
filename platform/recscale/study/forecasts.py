"""What a study says of sizes that it has not run: forecasts, gains, and what a gain needs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from recscale.curves.forecast import Forecast, Gain, Need, forecast, gain, need
from recscale.curves.scaling import FittedCurve
from recscale.curves.verdict import Better
from recscale.curves.words import is_constant, why_constant
from recscale.records import Arm, ModelSpec, TrialGroup
from recscale.study.curves import FamilyTrials, Finished, arms, by_family
from recscale.study.surfaces import Surface, study_surfaces

TIMES = (2.0, 4.0, 10.0)
"""Multiples of the largest observed scale at which curves are forecast."""
AUC_GAINS = (0.0005, 0.001, 0.002)
"""Gains of AUC over the single-embedding base whose price is asked."""


@dataclass(frozen=True)
class ForecastRow:
    """One curve at a multiple of its largest scale."""

    family: str
    """Family of the model."""
    variant: str
    """paper | fair."""
    arm: str
    """SE | ME."""
    metric: str
    """Name of the metric."""
    times: float
    """Multiple of the largest observed scale."""
    forecast: Forecast
    """The metric there."""
    gain: Gain
    """What going there from the largest observed scale brings."""


@dataclass(frozen=True)
class NeedRow:
    """What one arm needs for a gain over the single-embedding base."""

    family: str
    """Family of the model."""
    variant: str
    """paper | fair."""
    arm: str
    """SE | ME."""
    metric: str
    """Name of the metric."""
    base: float
    """The metric of the single-embedding base by its fitted law, at its smallest scale."""
    base_scale: float
    """That scale."""
    gain: float
    """Gain over the base that is asked for."""
    need: Need
    """The scale that the arm's law needs."""
    scale: float | None
    """The smallest scale from there on that divides into the sets; None where the goal is not reached."""
    num_sets: int | None
    """Embedding sets at that scale; None where the goal is not reached or the arm's sets follow no rule."""
    sentence: str
    """The answer in words."""


@dataclass(frozen=True)
class StudyForecasts:
    """The whole of forecasts.json."""

    forecasts: tuple[ForecastRow, ...]
    """Every fitted curve at multiples of its largest scale."""
    needs: tuple[NeedRow, ...]
    """Every arm of which AUC was fitted, for every gain."""
    surfaces: tuple[Surface, ...]
    """The law of two variables, per family and metric."""


def study_forecasts(
    finished: Sequence[Finished], fitted: Sequence[FittedCurve], groups: Sequence[TrialGroup] = ()
) -> StudyForecasts:
    """Every question that the fitted curves answer without being asked."""
    known = [item for item in fitted if item.selected is not None and len(item.curve.points) > 1]
    forecasts = tuple(_forecast(item, times) for item in known for times in TIMES)
    return StudyForecasts(forecasts, tuple(_needs(by_family(finished, groups), known)), study_surfaces(finished))


def _forecast(item: FittedCurve, times: float) -> ForecastRow:
    curve, last = item.curve, item.curve.points[-1].x
    there = forecast(item, times * last)
    return ForecastRow(
        curve.family, curve.variant, curve.arm, curve.metric, times, there, gain(item, last, times * last)
    )


def _needs(families: Sequence[FamilyTrials], known: Sequence[FittedCurve]) -> list[NeedRow]:
    """Per family, its arms against its single-embedding base."""
    rows = []
    by_key = {(i.curve.family, i.curve.variant, i.curve.arm): i for i in known if i.curve.metric == "test_auc"}
    for (family, variant), members in families:
        base = by_key.get((family, variant, Arm.SINGLE.value))
        for arm, trials in arms(members).items():
            item = by_key.get((family, variant, arm))
            if base and item:
                rows += [_need(base, item, [spec.model for spec, _ in trials], amount) for amount in AUC_GAINS]
    return rows


def _need(base: FittedCurve, item: FittedCurve, models: Sequence[ModelSpec], amount: float) -> NeedRow:
    first = base.curve.points[0].x
    start = forecast(base, first).value
    found = need(item, start + amount, Better.HIGHER)
    scale, num_sets = (None, None) if found.x is None else _buildable(found.x, models)
    curve = item.curve
    return NeedRow(
        family=curve.family,
        variant=curve.variant,
        arm=curve.arm,
        metric=curve.metric,
        base=start,
        base_scale=first,
        gain=amount,
        need=found,
        scale=scale,
        num_sets=num_sets,
        sentence=_sentence(item, first, amount, found, scale, num_sets),
    )


def _buildable(x: float, models: Sequence[ModelSpec]) -> tuple[float, int | None]:
    """The smallest scale of at least x that the arm can be built at, and its sets, as far as they follow a rule."""
    several = [model for model in models if model.num_sets > 1]
    base_dim = models[0].base_dim
    if several and all(model.num_sets == model.scale for model in several):
        scale = max(float(math.ceil(x - 1e-9)), min(model.scale for model in several))
        return scale, int(scale)
    numbers = {model.num_sets for model in several or models}
    sets = numbers.pop() if len(numbers) == 1 else None
    dim = math.ceil(x * base_dim / (sets or 1) - 1e-9)
    return dim * (sets or 1) / base_dim, sets


def _sentence(
    item: FittedCurve, first: float, amount: float, found: Need, scale: float | None, num_sets: int | None
) -> str:
    curve = item.curve
    asked = f"{curve.family} ({curve.variant}) {curve.arm}: +{amount:g} AUC over single-embedding at scale {first:g}"
    share = f"({found.reached:.0%} of the replicates reach it)"
    if is_constant(curve):
        where = "is reached at no scale" if found.x is None else "is reached at every scale"
        return f"{asked} {where}: its law is {why_constant(curve)} {share}"
    if scale is None:
        return f"{asked} is not reached up to scale {found.limit:g} {share}"
    sets = "" if num_sets is None else f" with {num_sets} set{'s' if num_sets > 1 else ''}"
    low = "" if found.low is None else f"{found.low:.3g}"
    ends = f"[{low}, {found.high:.3g}]" if found.high is not None else f"[{low}, beyond {found.limit:.3g}]"
    where = found.kind.value if found.distance == 0 else f"{found.kind.value}, {found.distance:.2g} log ranges out"
    return f"{asked} needs scale {scale:g}{sets}; by the law {found.x:.3g} {ends} ({where})"
