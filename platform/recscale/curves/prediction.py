"""Whether collapse metrics predict quality: the correlations of one family and arm, and what they say in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from recscale.curves.association import Association, Coefficient

WIDE = 1.0
"""An interval of a correlation that is wider than this excludes little."""
FOLLOWS = 0.9
"""From this rank correlation on, a measure is said to follow the scale."""


class Measure(StrEnum):
    """What may predict quality; all but EFFECTIVE_RANK_RATIO are columns of trials.parquet."""

    IA_RATIO = "ia_ratio_mean"
    WEIGHTED_IA_RATIO = "weighted_ia_ratio_mean"
    IA_CONCAT_RATIO = "ia_concat_ratio_mean"
    WEIGHTED_IA_CONCAT_RATIO = "weighted_ia_concat_ratio_mean"
    EFFECTIVE_RANK = "effective_rank_mean"
    EFFECTIVE_RANK_RATIO = "effective_rank_ratio"
    SET_DIVERSITY = "set_diversity_mean"


MEASURE_NAMES = {
    Measure.IA_RATIO: "IA/K",
    Measure.WEIGHTED_IA_RATIO: "IA/K by frequency",
    Measure.IA_CONCAT_RATIO: "IA/(M·K), sets concatenated",
    Measure.WEIGHTED_IA_CONCAT_RATIO: "IA/(M·K) by frequency",
    Measure.EFFECTIVE_RANK: "effective rank",
    Measure.EFFECTIVE_RANK_RATIO: "effective rank/K",
    Measure.SET_DIVERSITY: "set diversity",
}
OF_SEVERAL_SETS = (Measure.IA_CONCAT_RATIO, Measure.WEIGHTED_IA_CONCAT_RATIO, Measure.SET_DIVERSITY)
"""Measures that say nothing of their own where there is one set."""


@dataclass(frozen=True)
class MeasureAssociation:
    """One measure against quality."""

    measure: Measure
    """The measure."""
    with_quality: Association
    """With test AUC. The gain over the base differs from it by one number per family, so this is also the gain's."""
    with_scale: float | None
    """Spearman's correlation with the scale; None where it is not defined."""


@dataclass(frozen=True)
class ArmAssociations:
    """Whether collapse metrics predict quality over the trials of one family and arm."""

    family: str
    """Family of the model, with the settings in which its trials differ."""
    variant: str
    """paper | fair."""
    arm: str
    """SE | ME; the multi-embedding arm starts at the common base where the sets follow the scale."""
    base_auc: float | None
    """Mean test AUC of the family's smallest single-embedding scale, over which trials gain; None without one."""
    trial_ids: tuple[str, ...]
    """Its trials."""
    measures: tuple[MeasureAssociation, ...]
    """One per measure that the arm has."""
    sentence: str
    """What they say."""


def prediction_sentence(family: str, arm: str, measures: Sequence[MeasureAssociation]) -> str:
    """What IA/K says of test AUC in this family and arm, and which other measures have an interval without 0."""
    first = measures[0]
    head = f"{family}, {arm}: {_verdict(first)}"
    others = [
        f"{MEASURE_NAMES[item.measure]} {_value(item.with_quality.spearman)}"
        for item in measures[1:]
        if item.with_quality.spearman and item.with_quality.spearman.clear
    ]
    tail = f"; of the other metrics, these do: {', '.join(others)}" if others else ""
    return f"{head}{tail}{_caution(first)}."


def _verdict(item: MeasureAssociation) -> str:
    """The first measure's correlation in words."""
    found, name = item.with_quality, MEASURE_NAMES[item.measure]
    if found.spearman is None:
        return f"nothing can be said of {name}: {found.note}"
    if found.spearman.low is None:
        return f"{name} cannot be judged (Spearman {_value(found.spearman)}; {found.note})"
    numbers = f"Spearman {_value(found.spearman)}, {found.trials} trials in {found.cells} cells"
    if not found.spearman.clear:
        width = (found.spearman.high or 0.0) - found.spearman.low
        wide = ", an interval too wide to exclude one" if width > WIDE else ""
        return f"{name} shows no association with test AUC beyond chance ({numbers}{wide})"
    direction = "higher" if found.spearman.value > 0 else "lower"
    return f"trials of higher {name} have {direction} test AUC ({numbers})"


def _caution(item: MeasureAssociation) -> str:
    """What else goes with the measure."""
    if item.with_scale is None or abs(item.with_scale) < FOLLOWS:
        return ""
    return (
        f". {MEASURE_NAMES[item.measure]} itself {'rises' if item.with_scale > 0 else 'falls'} with scale "
        f"({item.with_scale:+.2f}), so it may stand for scale alone"
    )


def _value(found: Coefficient | None) -> str:
    """A coefficient with its interval."""
    if found is None:
        return "–"
    interval = "" if found.low is None else f" [{found.low:+.2f}, {found.high:+.2f}]"
    return f"{found.value:+.2f}{interval}"
