"""Trials of one family and arm as points: their mean and seed noise per size."""

import math
from collections.abc import Sequence
from itertools import groupby
from statistics import fmean, stdev

from recscale.curves.curve import CurvePoint, Observation
from recscale.errors import DataError


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
