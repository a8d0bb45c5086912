"""What a family's comparisons at equal budget come to, in one sentence."""

from collections import Counter
from collections.abc import Mapping, Sequence

from recscale.curves.equal_budget import BudgetAxis, Comparison
from recscale.curves.verdict import Better

AXIS_NAMES = {
    BudgetAxis.SCALE: "equal scale",
    BudgetAxis.TOTAL_PARAMS: "equal total parameters",
    BudgetAxis.DENSE_PARAMS: "equal dense parameters",
    BudgetAxis.FLOPS: "equal FLOPs",
}


def budget_sentence(family: str, better: Better, found: Mapping[BudgetAxis, Sequence[Comparison]]) -> str:
    """How multi-embedding does against single-embedding of the same size, axis by axis."""
    parts = [f"at {AXIS_NAMES[axis]} {_counts(cells, better)}" for axis, cells in found.items()]
    return f"{family}: multi-embedding is, {'; '.join(parts)}."


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
