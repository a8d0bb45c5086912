"""Multi- against single-embedding at the same budget, whichever way the budget is counted.

Within 1 % of the size of one of its scales, single-embedding is that scale's mean; between two, it is read off the
straight line in log x through both means; beyond them nothing is said. The difference is a weighted sum of independent
means over seeds, so its variance is the weighted sum of theirs (the delta method, here exact) and its interval
Student's with Welch and Satterthwaite's degrees of freedom. It holds seed noise only, not how far the true curve bends
away from the line between two scales.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np

from recscale.curves.chance import t_quantile
from recscale.curves.curve import CurvePoint, Observation
from recscale.curves.differences import single_point
from recscale.curves.scaling import gather

SAME = 0.01
"""Two sizes that differ by less than this share are one budget: extra sets add a little to the tables' size."""


class BudgetAxis(StrEnum):
    """What two models have as much of."""

    SCALE = "scale"
    TOTAL_PARAMS = "total_params"
    """Table and dense parameters together."""
    DENSE_PARAMS = "dense_params"
    FLOPS = "flops_per_sample"


@dataclass(frozen=True)
class Comparison:
    """A multi-embedding cell against single-embedding of the same size."""

    x: float
    """The size."""
    multi: float
    """Mean over seeds of the multi-embedding cell."""
    single: float | None
    """Single-embedding there; None outside its sizes."""
    lower_scale: float | None
    """Scale of the single-embedding cell at or below that size; None outside."""
    upper_scale: float | None
    """Scale of the single-embedding cell at or above that size; None outside."""
    value: float | None
    """multi - single, in the metric's own direction; None outside."""
    low: float | None
    """Lower end of the interval over seeds; None outside, or where a cell that counts has one seed."""
    high: float | None
    """Upper end of the interval over seeds."""
    level: float
    """Nominal coverage of the interval."""
    note: str
    """Why something is lacking and what to add; empty where nothing is."""


def compare(single: Sequence[Observation], multi: Sequence[Observation], *, level: float = 0.9) -> Comparison:
    """The multi-embedding trials of one cell against single-embedding's at the same x, never extrapolated."""
    cell = single_point(multi)
    points = gather(single) if single else ()
    near, note = _neighbours(points, cell.x)
    if not near:
        return Comparison(cell.x, cell.mean, None, None, None, None, None, None, level, note)
    weights = _weights(near, cell.x)
    expected = sum(weight * point.mean for weight, point in zip(weights, near, strict=True))
    parts = [(1.0, cell), *((-weight, point) for weight, point in zip(weights, near, strict=True) if weight)]
    low, high = _interval(parts, level)
    alone = ", ".join(f"scale {point.scale:g}" for _, point in parts if point.std is None)
    return Comparison(
        x=cell.x,
        multi=cell.mean,
        single=expected,
        lower_scale=near[0].scale,
        upper_scale=near[-1].scale,
        value=cell.mean - expected,
        low=low,
        high=high,
        level=level,
        note=f"one seed at {alone} gives no interval: add seeds" if alone else "",
    )


def _neighbours(points: Sequence[CurvePoint], x: float) -> tuple[tuple[CurvePoint, ...], str]:
    """The point at x, or the two around it; none, and why, where x lies outside or several scales have one size."""
    if not points:
        return (), "no single-embedding trial has finished"
    sizes = [point.x for point in points]
    if any(before == after for before, after in pairwise(sizes)):
        return (), "single-embedding has the same size at several scales, so no one value"
    nearest = min(points, key=lambda point: abs(point.x - x))
    if abs(nearest.x - x) <= SAME * x:
        return (nearest,), ""
    below = [point for point in points if point.x < x]
    above = [point for point in points if point.x > x]
    if not below or not above:
        side, end = ("smaller", points[0]) if not below else ("larger", points[-1])
        return (), f"{side} than every single-embedding trial, which end at scale {end.scale:g}"
    return (below[-1], above[0]), ""


def _weights(near: Sequence[CurvePoint], x: float) -> tuple[float, ...]:
    """How much each neighbour counts at x, linearly in log x."""
    if len(near) == 1:
        return (1.0,)
    below, above = near
    share = math.log(x / below.x) / math.log(above.x / below.x)
    return 1 - share, share


def _interval(parts: Sequence[tuple[float, CurvePoint]], level: float) -> tuple[float | None, float | None]:
    """Interval of a weighted sum of means over seeds; (None, None) where one of them has one seed."""
    value = sum(weight * point.mean for weight, point in parts)
    if any(point.std is None for _, point in parts):
        return None, None
    variances = np.array([weight**2 * (point.std or 0.0) ** 2 / point.seeds for weight, point in parts])
    if variances.sum() == 0:
        return value, value
    freedom = variances.sum() ** 2 / (variances**2 / np.array([point.seeds - 1 for _, point in parts])).sum()
    half = t_quantile((1 + level) / 2, freedom) * math.sqrt(variances.sum())
    return value - half, value + half
