"""The difference of two means over seeds, and whether it shows beyond seed noise.

Judged by Welch's t interval: the arms and scales share the data split, but a seed means other initial weights at every
shape, so trials are not paired.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from recscale.curves.chance import t_quantile
from recscale.curves.curve import CurvePoint, Observation
from recscale.curves.scaling import gather
from recscale.errors import DataError


class Trend(StrEnum):
    """What a difference shows beyond seed noise."""

    RISES = "rises"
    FALLS = "falls"
    WITHIN_NOISE = "within_noise"
    ONE_SEED = "one_seed"


@dataclass(frozen=True)
class Difference:
    """The second mean minus the first."""

    first: float
    """First mean."""
    second: float
    """Second mean."""
    first_scale: float
    """Scale of the first mean."""
    second_scale: float
    """Scale of the second mean."""
    value: float
    """second - first, in the metric's own direction."""
    low: float | None
    """Lower end of the interval; None where either side has one seed."""
    high: float | None
    """Upper end of the interval; None where either side has one seed."""
    seeds: tuple[int, int]
    """Seeds of the first and of the second."""
    trend: Trend
    """rises | falls where the interval excludes 0, else within_noise; one_seed where there is no interval."""


def difference(first: Sequence[Observation], second: Sequence[Observation], *, level: float = 0.9) -> Difference:
    """The mean of the second trials minus that of the first, with Welch's t interval where both have several seeds."""
    return point_difference(single_point(first), single_point(second), level)


def point_difference(before: CurvePoint, after: CurvePoint, level: float) -> Difference:
    """The second point's mean minus the first's, as `difference`."""
    value = after.mean - before.mean
    low, high = _welch(before, after, level)
    if low is None or high is None:
        trend = Trend.ONE_SEED
    elif low > 0:
        trend = Trend.RISES
    else:
        trend = Trend.FALLS if high < 0 else Trend.WITHIN_NOISE
    return Difference(
        first=before.mean,
        second=after.mean,
        first_scale=before.scale,
        second_scale=after.scale,
        value=value,
        low=low,
        high=high,
        seeds=(before.seeds, after.seeds),
        trend=trend,
    )


def single_point(observations: Sequence[Observation]) -> CurvePoint:
    """The trials of one configuration as one point; DataError where they are of several."""
    points = gather(observations)
    if len(points) > 1:
        raise DataError(
            f"trials {points[0].trial_ids[0]} and {points[1].trial_ids[0]} at x = {points[0].x:g} and {points[1].x:g} "
            f"are compared as one configuration; expected seeds of one: judge each configuration apart"
        )
    return points[0]


def _welch(before: CurvePoint, after: CurvePoint, level: float) -> tuple[float | None, float | None]:
    """Welch's interval of after - before; (None, None) with one seed on either side."""
    if before.std is None or after.std is None:
        return None, None
    value = after.mean - before.mean
    parts = np.array([before.std**2 / before.seeds, after.std**2 / after.seeds])
    if parts.sum() == 0:
        return value, value
    freedom = parts.sum() ** 2 / (parts**2 / np.array([before.seeds - 1, after.seeds - 1])).sum()
    half = t_quantile((1 + level) / 2, freedom) * math.sqrt(parts.sum())
    return value - half, value + half
