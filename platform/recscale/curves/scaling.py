"""From the trials of one family and arm to a scaling curve."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean, stdev

import numpy as np

from recscale.curves.bootstrap import Intervals, Replicates, intervals, resample
from recscale.curves.curve import CandidateFit, Curve, CurvePoint, Observation, Parameter, Target
from recscale.curves.fitting import Fit
from recscale.curves.laws import Array, candidate_laws
from recscale.curves.selection import Scored, select
from recscale.errors import DataError

GRID_POINTS = 41
"""Positions at which a curve is drawn."""


@dataclass(frozen=True)
class Selected:
    """The selected law of a curve, at any position, in values of the metric."""

    fit: Fit
    """Its fit to the curve's target."""
    replicates: Replicates
    """Its bootstrap replicates."""
    target: Target
    """What of the metric it is fitted to."""

    def value(self, x_G: Array) -> Array:
        """The metric [G]."""
        return shown(self.target, self.fit.law.mean(np.array(self.fit.parameters), x_G))

    def means(self, x_G: Array) -> Array:
        """The metric in every replicate [R, G]."""
        return shown(self.target, self.replicates.means(x_G))

    def runs(self, x_G: Array) -> Array:
        """A new run's metric in every replicate [R, G]."""
        return shown(self.target, self.replicates.runs(x_G))


@dataclass(frozen=True)
class FittedCurve:
    """A curve, and what further questions of it are answered from."""

    curve: Curve
    """The record."""
    selected: Selected | None
    """Its law; None where nothing could be fitted."""


def shown(target: Target, values: Array) -> Array:
    """Values of the target as values of the metric, and the other way round."""
    return 1 - values if target is Target.COMPLEMENT else values


def fit_curve(
    observations: Sequence[Observation],
    *,
    family: str,
    variant: str,
    arm: str,
    metric: str,
    x_axis: str = "scale",
    target: Target = Target.VALUE,
    eval_noise: float | None = None,
    level: float = 0.9,
    replicates: int = 1000,
    seed: int = 0,
) -> FittedCurve:
    """Selects a law for the observations and bounds it by bootstrap.

    With too few trials the curve carries its points and a note, no law. DataError: a value that is not finite, or x
    not above 0.
    """
    points = gather(observations)
    x_S = np.array([observation.x for observation in observations], dtype=np.float64)
    y_S = shown(target, np.array([observation.value for observation in observations], dtype=np.float64))
    selection = select(candidate_laws(1.0 if target is Target.COMPLEMENT else math.inf), x_S, y_S)
    chosen = selection.chosen
    found = resample(chosen.fit, x_S, y_S, level=level, replicates=replicates, seed=seed) if chosen else None
    grid_G = np.geomspace(points[0].x, points[-1].x, GRID_POINTS) if chosen else np.empty(0)
    ends = intervals(found, grid_G, level) if found else None
    mean_G, bands = grid_G, [grid_G] * 4
    if chosen and ends:
        mean_G = shown(target, chosen.fit.law.mean(np.array(chosen.fit.parameters), grid_G))
        pairs = ((ends.grid_low, ends.grid_high), (ends.run_low, ends.run_high))
        bands = [band for pair in pairs for band in np.sort(shown(target, np.stack(pair)), axis=0)]
    curve = Curve(
        family=family,
        variant=variant,
        arm=arm,
        metric=metric,
        x_axis=x_axis,
        target=target,
        points=points,
        law=chosen.fit.law.name if chosen else None,
        formula=_with_numbers(metric, target, chosen) if chosen else "",
        candidates=tuple(_candidate(scored, ends if scored is chosen else None) for scored in selection.candidates),
        selection=selection.reason,
        seed_noise=pooled_std(points),
        eval_noise=eval_noise,
        level=level,
        grid_x=_floats(grid_G),
        grid_mean=_floats(mean_G),
        grid_low=_floats(bands[0]),
        grid_high=_floats(bands[1]),
        run_low=_floats(bands[2]),
        run_high=_floats(bands[3]),
        note=_note(selection.note, points, chosen, found),
    )
    return FittedCurve(curve, Selected(chosen.fit, found, target) if chosen and found else None)


def pooled_std(points: Sequence[CurvePoint]) -> float | None:
    """Standard deviation between seeds over all points with several; None where there is none."""
    repeated = [(point.std, point.seeds - 1) for point in points if point.std is not None]
    freedom = sum(count for _, count in repeated)
    return math.sqrt(sum(std**2 * count for std, count in repeated) / freedom) if freedom else None


def gather(observations: Sequence[Observation]) -> tuple[CurvePoint, ...]:
    """One point per x and scale, by ascending x; DataError where there is no observation or a value is not finite."""
    if not observations:
        raise DataError("a curve of no observations; expected at least one finished trial: run the study first")
    for item in observations:
        if not (math.isfinite(item.value) and math.isfinite(item.x) and item.x > 0):
            raise DataError(
                f"trial {item.trial_id}: value {item.value} at x = {item.x}; expected a finite value at a finite x "
                f"above 0: leave the trial out or run it again"
            )
    ordered = sorted(observations, key=lambda item: (item.x, item.scale, item.trial_id))
    return tuple(
        _point(scale, x, list(group)) for (x, scale), group in groupby(ordered, key=lambda item: (item.x, item.scale))
    )


def _point(scale: float, x: float, group: list[Observation]) -> CurvePoint:
    """Mean and seed noise of the trials of one scale."""
    values = [item.value for item in group]
    return CurvePoint(
        scale=scale,
        x=x,
        mean=fmean(values),
        std=stdev(values) if len(values) > 1 else None,
        seeds=len(values),
        trial_ids=tuple(item.trial_id for item in group),
    )


def _candidate(scored: Scored, ends: Intervals | None) -> CandidateFit:
    """A scored fit as a record, with intervals where it was selected."""
    law = scored.fit.law
    lows = _floats(ends.low) if ends else (None,) * len(scored.fit.parameters)
    highs = _floats(ends.high) if ends else (None,) * len(scored.fit.parameters)
    columns = zip(law.parameter_names, scored.fit.parameters, lows, highs, scored.fit.at_bound, strict=True)
    return CandidateFit(
        law=law.name,
        formula=law.formula,
        parameters=tuple(Parameter(*column) for column in columns),
        aicc=scored.aicc,
        backtest=scored.backtest,
        rss=scored.fit.rss,
        converged=scored.fit.converged,
        condition_number=scored.fit.condition_number if math.isfinite(scored.fit.condition_number) else None,
    )


def _with_numbers(metric: str, target: Target, chosen: Scored) -> str:
    """The selected formula with the estimates in place of the names."""
    text = chosen.fit.law.formula
    for name, value in zip(chosen.fit.law.parameter_names, chosen.fit.parameters, strict=True):
        text = re.sub(rf"\b{name}\b", f"({value:.6g})" if value < 0 else f"{value:.6g}", text)
    return f"{metric} = 1 - ({text})" if target is Target.COMPLEMENT else f"{metric} = {text}"


def _note(lacking: str, points: tuple[CurvePoint, ...], chosen: Scored | None, found: Replicates | None) -> str:
    """What limits the curve."""
    parts = [lacking] if lacking else []
    if chosen and all(point.seeds == 1 for point in points):
        parts.append("one seed per scale: intervals come from deviations from the fit; add seeds to see seed noise")
    if found and found.sizes_deviate:
        parts.append("means scatter around the law by more than seeds explain: intervals include it")
    if chosen and any(chosen.fit.at_bound):
        held = zip(chosen.fit.law.parameter_names, chosen.fit.at_bound, strict=True)
        parts.append(f"{', '.join(name for name, at in held if at)} at a bound: not identified; add scales")
    return "; ".join(parts)


def _floats(values: Array) -> tuple[float, ...]:
    """An array as plain numbers."""
    return tuple(values.tolist())
