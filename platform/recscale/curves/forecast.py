"""What a fitted curve says between and beyond its observed sizes, and the budget question answered both ways.

Legend: R replicates, G grid positions. A position inside the observed sizes is an interpolation, one outside is a
forecast; its distance is ln(x / nearest end) over the observed log range: 1 is as far out as the
observations span.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from recscale.curves.laws import Array
from recscale.curves.scaling import FittedCurve, Selected
from recscale.curves.verdict import Better
from recscale.errors import ConfigError

SEARCH_POINTS = 801
"""Positions, evenly spaced in ln x, between which a curve is taken as straight when a goal is looked for."""


class Kind(StrEnum):
    """Where a position lies."""

    INTERPOLATION = "interpolation"
    FORECAST = "forecast"


@dataclass(frozen=True)
class Forecast:
    """The metric at one position."""

    x: float
    """Position on the curve's axis."""
    value: float
    """The metric by the selected law."""
    low: float
    """Lower end of the interval of the mean."""
    high: float
    """Upper end of the interval of the mean."""
    run_low: float
    """Lower end of the interval of one new run."""
    run_high: float
    """Upper end of the interval of one new run."""
    kind: Kind
    """interpolation | forecast."""
    distance: float
    """Distance from the observed sizes, in observed log ranges; 0 inside."""


@dataclass(frozen=True)
class Gain:
    """What a larger size brings."""

    start: float
    """Where the change starts."""
    end: float
    """Where it ends."""
    value: float
    """Metric at the end minus metric at the start, by the selected law."""
    low: float
    """Lower end of its interval."""
    high: float
    """Upper end of its interval."""
    kind: Kind
    """forecast where either position is one."""
    distance: float
    """The larger distance of the two."""


@dataclass(frozen=True)
class Need:
    """The smallest size at which a metric reaches a goal."""

    goal: float
    """Value of the metric to reach."""
    x: float | None
    """The size by the selected law; None where it is not reached up to `limit`."""
    low: float | None
    """Lower end of the interval of the size; None where too few replicates reach the goal."""
    high: float | None
    """Upper end of the interval of the size; None where too few replicates reach the goal."""
    reached: float
    """Share of the bootstrap replicates that reach the goal up to `limit`."""
    limit: float
    """Largest size looked at."""
    kind: Kind
    """interpolation | forecast: of x, or of the limit where the goal is not reached."""
    distance: float
    """Distance of x, or of the limit, from the observed sizes."""


def forecast(fitted: FittedCurve, x: float) -> Forecast:
    """The metric at x. ConfigError: no law was fitted, or x is not above 0."""
    selected = _selected(fitted, x)
    at = np.array([x])
    low, high = _ends(fitted, selected.means(at)[:, 0])
    run_low, run_high = _ends(fitted, selected.runs(at)[:, 0])
    kind, distance = placed(fitted, x)
    return Forecast(x, float(selected.value(at)[0]), low, high, run_low, run_high, kind, distance)


def gain(fitted: FittedCurve, start: float, end: float) -> Gain:
    """What going from size `start` to size `end` brings. ConfigError: as `forecast`."""
    selected = _selected(fitted, min(start, end))
    at = np.array([start, end])
    low, high = _ends(fitted, np.diff(selected.means(at), axis=1)[:, 0])
    distances = [placed(fitted, x)[1] for x in (start, end)]
    kind = Kind.FORECAST if max(distances) > 0 else Kind.INTERPOLATION
    return Gain(start, end, float(np.diff(selected.value(at))[0]), low, high, kind, max(distances))


def need(fitted: FittedCurve, goal: float, better: Better, *, beyond: float = 1.0) -> Need:
    """The smallest size, from the smallest observed to `beyond` log ranges past the largest, that reaches the goal.

    ConfigError: no law was fitted, or `beyond` is negative.
    """
    selected = _selected(fitted, 1.0)
    if beyond < 0:
        raise ConfigError(f"a goal is looked for {beyond:g} log ranges beyond the observed sizes; expected at least 0")
    first, last = _observed(fitted)
    limit = last * (last / first) ** beyond
    grid_G = np.geomspace(first, limit, SEARCH_POINTS)
    sign = 1.0 if better is Better.HIGHER else -1.0
    x = _crossing(grid_G, sign * (selected.value(grid_G)[None] - goal))[0]
    found_R = _crossing(grid_G, sign * (selected.means(grid_G) - goal))
    tail = (1 - fitted.curve.level) / 2
    ends = [float(np.quantile(found_R, share, method="inverted_cdf")) for share in (tail, 1 - tail)]
    low, high = (end if math.isfinite(end) else None for end in ends)
    kind, distance = placed(fitted, float(x) if math.isfinite(x) else limit)
    reached = float(np.isfinite(found_R).mean())
    return Need(goal, float(x) if math.isfinite(x) else None, low, high, reached, limit, kind, distance)


def placed(fitted: FittedCurve, x: float) -> tuple[Kind, float]:
    """Whether x is an interpolation, and its distance from the observed sizes in observed log ranges."""
    first, last = _observed(fitted)
    outside = max(math.log(first / x), math.log(x / last), 0.0)
    if outside <= 1e-12:
        return Kind.INTERPOLATION, 0.0
    return Kind.FORECAST, outside / math.log(last / first)


def _crossing(grid_G: Array, above_RG: Array) -> Array:
    """The first position at which each row is at least 0, interpolated in ln x [R]; infinite where there is none."""
    rows = np.arange(len(above_RG))
    reached = above_RG >= 0
    index = reached.argmax(axis=1)
    before = np.maximum(index - 1, 0)
    low, high = above_RG[rows, before], above_RG[rows, index]
    share = np.where(index > 0, -low / np.where(high > low, high - low, 1.0), 1.0)
    logs = np.log(grid_G)
    found = np.exp(logs[before] + share * (logs[index] - logs[before]))
    return np.asarray(np.where(reached.any(axis=1), found, np.inf))


def _observed(fitted: FittedCurve) -> tuple[float, float]:
    points = fitted.curve.points
    return points[0].x, points[-1].x


def _ends(fitted: FittedCurve, values_R: Array) -> tuple[float, float]:
    level = fitted.curve.level
    low, high = np.percentile(values_R, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def _selected(fitted: FittedCurve, x: float) -> Selected:
    if fitted.selected is None:
        curve = fitted.curve
        raise ConfigError(f"{curve.family} {curve.arm} {curve.metric} has no fitted law: {curve.note}")
    if not (math.isfinite(x) and x > 0):
        raise ConfigError(f"a forecast at x = {x:g}; expected a finite size above 0")
    return fitted.selected
