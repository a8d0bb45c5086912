"""From the trials of one family and arm to a scaling curve."""

import math
from collections.abc import Sequence
from itertools import groupby
from statistics import fmean, stdev

import numpy as np

from recscale.curves.bootstrap import Intervals, bootstrap
from recscale.curves.curve import CandidateFit, Curve, CurvePoint, Observation, Parameter
from recscale.curves.laws import Array, candidate_laws
from recscale.curves.selection import Scored, select
from recscale.errors import DataError

GRID_POINTS = 41
"""Positions at which a curve is drawn."""


def fit_curve(
    observations: Sequence[Observation],
    *,
    family: str,
    variant: str,
    arm: str,
    metric: str,
    x_axis: str = "scale",
    upper: float = math.inf,
    level: float = 0.9,
    replicates: int = 1000,
    seed: int = 0,
) -> Curve:
    """Selects a law for the observations and bounds it by bootstrap; `upper` is the metric's largest possible value.

    With too few trials the curve carries its points and a note, no law. DataError: a value that is not finite, or x
    not above 0.
    """
    points = gather(observations)
    x_S = np.array([observation.x for observation in observations], dtype=np.float64)
    y_S = np.array([observation.value for observation in observations], dtype=np.float64)
    selection = select(candidate_laws(upper), x_S, y_S)
    chosen = selection.chosen
    grid_G = np.geomspace(points[0].x, points[-1].x, GRID_POINTS) if chosen else np.empty(0)
    mean_G, intervals = grid_G, None
    if chosen:
        mean_G = chosen.fit.law.mean(np.array(chosen.fit.parameters), grid_G)
        intervals = bootstrap(chosen.fit, x_S, y_S, grid_G, level=level, replicates=replicates, seed=seed)
    return Curve(
        family=family,
        variant=variant,
        arm=arm,
        metric=metric,
        x_axis=x_axis,
        points=points,
        law=chosen.fit.law.name if chosen else None,
        formula=_with_numbers(metric, chosen) if chosen else "",
        candidates=tuple(
            _candidate(scored, intervals if scored is chosen else None) for scored in selection.candidates
        ),
        level=level,
        grid_x=_floats(grid_G),
        grid_mean=_floats(mean_G),
        grid_low=_floats(intervals.grid_low if intervals else grid_G),
        grid_high=_floats(intervals.grid_high if intervals else grid_G),
        note=_note(selection.note, points, chosen),
    )


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


def _candidate(scored: Scored, intervals: Intervals | None) -> CandidateFit:
    """A scored fit as a record, with intervals where it was selected."""
    law = scored.fit.law
    lows = _floats(intervals.low) if intervals else (None,) * len(scored.fit.parameters)
    highs = _floats(intervals.high) if intervals else (None,) * len(scored.fit.parameters)
    columns = zip(law.parameter_names, scored.fit.parameters, lows, highs, scored.fit.at_bound, strict=True)
    return CandidateFit(
        law=law.name,
        formula=law.formula,
        parameters=tuple(Parameter(*column) for column in columns),
        aicc=scored.aicc,
        rss=scored.fit.rss,
        converged=scored.fit.converged,
    )


def _with_numbers(metric: str, chosen: Scored) -> str:
    """The selected formula with the estimates in place of the names."""
    text = chosen.fit.law.formula
    for name, value in zip(chosen.fit.law.parameter_names, chosen.fit.parameters, strict=True):
        text = text.replace(name, f"({value:.6g})" if value < 0 else f"{value:.6g}", 1)
    return f"{metric} = {text.split(', ')[0]}"


def _note(lacking: str, points: tuple[CurvePoint, ...], chosen: Scored | None) -> str:
    """What limits the curve."""
    parts = [lacking] if lacking else []
    if chosen and all(point.seeds == 1 for point in points):
        parts.append("one seed per scale: intervals come from deviations from the fit; add seeds to see seed noise")
    if chosen and any(chosen.fit.at_bound):
        held = zip(chosen.fit.law.parameter_names, chosen.fit.at_bound, strict=True)
        parts.append(f"{', '.join(name for name, at in held if at)} at a bound: not identified; add scales")
    return "; ".join(parts)


def _floats(values: Array) -> tuple[float, ...]:
    """An array as plain numbers."""
    return tuple(values.tolist())
