"""What a family's comparisons at equal budget come to, in one sentence."""

from collections import Counter
from collections.abc import Mapping, Sequence

from recscale.curves.equal_budget import BudgetAxis, Comparison
from recscale.curves.verdict import Better

AXIS_NAMES = {
    BudgetAxis.SCALE: "scale",
    BudgetAxis.TOTAL_PARAMS: "total parameters",
    BudgetAxis.DENSE_PARAMS: "dense parameters",
    BudgetAxis.FLOPS: "FLOPs",
}


def budget_sentence(family: str, better: Better, found: Mapping[BudgetAxis, Sequence[Comparison]]) -> str:
    """How multi-embedding does against single-embedding of the same size; axes with one outcome share their words."""
    axes: dict[str, list[str]] = {}
    for axis, cells in found.items():
        axes.setdefault(_counts(cells, better), []).append(AXIS_NAMES[axis])
    parts = [f"at equal {_listed(names)} {words}" for words, names in axes.items()]
    return f"{family}: multi-embedding is {'; '.join(parts)}."


def _listed(names: Sequence[str]) -> str:
    """Names as one reads them out."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def outcome(comparison: Comparison, better: Better) -> str:
    """better | worse | within seed noise | without an interval | outside SE's range, of multi-embedding."""
    if comparison.value is None:
        return "outside SE's range"
    if comparison.low is None or comparison.high is None:
        return "without an interval"
    if comparison.low <= 0 <= comparison.high:
        return "within seed noise"
    return "better" if (comparison.value > 0) == (better is Better.HIGHER) else "worse"


def _counts(cells: Sequence[Comparison], better: Better) -> str:
    """Outcomes with their numbers of cells, most frequent first."""
    counts = Counter(outcome(cell, better) for cell in cells)
    if len(counts) == 1 and len(cells) > 1:
        return f"{next(iter(counts))} in all {len(cells)} cells"
    return ", ".join(f"{name} in {count} of {len(cells)}" for name, count in counts.most_common())
