"""Differences of two means, and laws without a slope, in words that claim no more than their numbers do."""

import math

from recscale.curves.curve import Curve
from recscale.curves.differences import Difference, Trend, point_difference
from recscale.curves.laws import CONSTANT


def change_words(change: Difference) -> str:
    """What a difference shows: rises or falls by how much, or by how much it changes and why that shows nothing."""
    if change.trend in (Trend.RISES, Trend.FALLS):
        return f"{change.trend.value} by {number(change.value, change.value)} {interval(change)}"
    return f"changes by {signed(change)}: {unclear(change)}"


def is_constant(curve: Curve) -> bool:
    """Whether the selected law is the one without a slope."""
    return curve.law == CONSTANT.name


def why_constant(curve: Curve) -> str:
    """Why a curve's law has no slope."""
    if len(curve.candidates) == 1:
        return "a constant, the only law that so few scales and trials allow"
    return "a constant, for no slope was worth its parameter"


def constant_words(curve: Curve) -> str:
    """Why a curve's law has no slope, and whether its ends differ all the same."""
    ends = point_difference(curve.points[0], curve.points[-1], curve.level)
    if ends.trend not in (Trend.RISES, Trend.FALLS):
        return why_constant(curve)
    return (
        f"{why_constant(curve)}; yet its largest scale {ends.trend.value} against its smallest by "
        f"{number(ends.value, ends.value)} {interval(ends)} ({curve.level:.0%} interval over seeds), so that no change "
        f"may be too certain: add scales or seeds"
    )


def unclear(change: Difference) -> str:
    """Why a difference shows nothing."""
    first, second = change.seeds
    if change.trend is Trend.ONE_SEED:
        return f"{first} against {second} seeds give no interval, add seeds"
    return f"within seed noise with {first} and {second} seeds"


def signed(change: Difference) -> str:
    """A signed difference with its interval where it has one."""
    text = signed_number(change.value, change.value)
    return text if change.low is None else f"{text} {interval(change)}"


def interval(change: Difference) -> str:
    """The interval of a clear difference as sizes, of an unclear one with signs."""
    ends = [change.low or 0.0, change.high or 0.0]
    if change.trend is Trend.FALLS:
        ends = [-ends[1], -ends[0]]
    return f"[{', '.join(('-' if end < 0 else '') + number(end, change.value) for end in ends)}]"


def signed_number(value: float, size: float) -> str:
    """A number with its sign, as precise as `number`."""
    return f"{'-' if value < 0 else '+'}{number(value, size)}"


def number(value: float, size: float) -> str:
    """|value| with four decimals, or with as many as show two digits of `size`."""
    decimals = 4 if size == 0 else min(8, max(4, 1 - math.floor(math.log10(abs(size)))))
    return f"{abs(value):.{decimals}f}"
