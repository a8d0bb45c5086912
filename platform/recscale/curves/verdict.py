"""What one family's trials say about scaling, in numbers and in one plain sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from recscale.curves.curve import Observation
from recscale.curves.differences import Difference, Trend, difference, single_point
from recscale.curves.words import interval, number, signed, unclear
from recscale.errors import ConfigError


class Better(StrEnum):
    """Which direction of a metric is good."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True)
class Verdict:
    """What the trials of one family show."""

    family: str
    """Family of the model."""
    metric: str
    """The metric judged."""
    better: Better
    """Its good direction."""
    level: float
    """Nominal coverage of the intervals."""
    sentence: str
    """The verdict in words and numbers."""
    se_change: Difference | None
    """Single-embedding, largest scale against smallest; None with fewer than two scales."""
    me_change: Difference | None
    """Multi-embedding, largest scale against smallest; None with fewer than two scales."""
    me_gain: Difference | None
    """Multi- against single-embedding at the largest scale that both have; None where they share none."""
    ia_change: Difference | None
    """IA/K of single-embedding, largest scale against smallest; None where it was not given at two scales."""


def judge(
    family: str,
    *,
    metric: str,
    better: Better,
    single: Sequence[Observation],
    multi: Sequence[Observation] = (),
    ia_ratio: Sequence[Observation] = (),
    level: float = 0.9,
) -> Verdict:
    """Judges a family by the trials of both arms and, given them, by IA/K of the single-embedding ones.

    Observations at one scale of one arm must be seeds of one configuration. ConfigError: a level outside (0, 1).
    DataError: a value that is not finite.
    """
    if not 0 < level < 1:
        raise ConfigError(f"interval level {level:g} is not between 0 and 1; use for instance 0.9")
    se_change, me_change = _change(single, level), _change(multi, level)
    me_gain, ia_change = _gain(single, multi, level), _change(ia_ratio, level)
    parts = [
        change_words(f"single-embedding {spoken(metric)}", se_change, better, _top_scale(single, better)),
        gain_words(metric, me_gain, better),
    ]
    if ia_change:
        parts.append(_ia_words(ia_change))
    sentence = f"{family}: {'; '.join(parts)} ({level:.0%} intervals over seeds)."
    return Verdict(family, metric, better, level, sentence, se_change, me_change, me_gain, ia_change)


def _by_scale(observations: Sequence[Observation]) -> dict[float, list[Observation]]:
    """Trials per scale, ascending."""
    scales = sorted({item.scale for item in observations})
    return {scale: [item for item in observations if item.scale == scale] for scale in scales}


def _change(observations: Sequence[Observation], level: float) -> Difference | None:
    """Largest scale against smallest."""
    groups = list(_by_scale(observations).values())
    return difference(groups[0], groups[-1], level=level) if len(groups) > 1 else None


def _gain(single: Sequence[Observation], multi: Sequence[Observation], level: float) -> Difference | None:
    """Multi against single at the largest common scale."""
    first, second = _by_scale(single), _by_scale(multi)
    common = first.keys() & second.keys()
    return difference(first[max(common)], second[max(common)], level=level) if common else None


def _top_scale(observations: Sequence[Observation], better: Better) -> float | None:
    """The scale of the best mean where that is neither the smallest nor the largest."""
    sign = 1 if better is Better.HIGHER else -1
    points = [single_point(group) for group in _by_scale(observations).values()]
    best = max(points, key=lambda point: sign * point.mean, default=None)
    return best.scale if best and best not in (points[0], points[-1]) else None


def change_words(subject: str, change: Difference | None, better: Better, top: float | None) -> str:
    """A change over scales in words."""
    if change is None:
        return f"{subject} cannot be compared across scales: fewer than two scales finished"
    span = f"from scale {change.first_scale:g} to {change.second_scale:g}"
    peak = f", with its best mean at scale {top:g}" if top else ""
    if change.trend in (Trend.RISES, Trend.FALLS):
        good = (change.trend is Trend.RISES) == (better is Better.HIGHER)
        verb = f"{change.trend.value} by {number(change.value, change.value)} {interval(change)}"
        return f"{subject} {verb} {span} ({'better' if good else 'worse'}){peak}"
    return f"{subject} changes by {signed(change)} {span}: {unclear(change)}{peak}"


def gain_words(metric: str, gain: Difference | None, better: Better) -> str:
    """Multi- against single-embedding in words."""
    if gain is None:
        return "multi-embedding cannot be compared: no scale has trials of both arms"
    where = f"at scale {gain.first_scale:g}"
    if gain.trend in (Trend.RISES, Trend.FALLS):
        good = (gain.trend is Trend.RISES) == (better is Better.HIGHER)
        side = "better" if good else "worse"
        return (
            f"multi-embedding is {side} by {number(gain.value, gain.value)} {interval(gain)} {spoken(metric)} {where}"
        )
    return f"multi-embedding differs by {signed(gain)} {spoken(metric)} {where}: {unclear(gain)}"


def spoken(metric: str) -> str:
    """A metric as a reader says it: test AUC, test log loss."""
    return metric.replace("auc", "AUC").replace("_", " ")


def comparison_words(change: Difference, better: Better, reference: str) -> str:
    """The second mean against the first, which is that of `reference`."""
    if change.trend not in (Trend.RISES, Trend.FALLS):
        return f"{signed(change)} against {reference}: {unclear(change)}"
    good = (change.trend is Trend.RISES) == (better is Better.HIGHER)
    size = f"{number(change.value, change.value)} {interval(change)}"
    return f"{'better' if good else 'worse'} than {reference} by {size}"


def _ia_words(change: Difference) -> str:
    """IA/K against scale in words."""
    span = f"from {change.first:.2f} to {change.second:.2f}"
    if change.trend in (Trend.RISES, Trend.FALLS):
        return f"IA/K of single-embedding {change.trend.value} {span}"
    return f"IA/K of single-embedding goes {span}: {unclear(change)}"
