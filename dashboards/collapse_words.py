"""What a collapse study shows, one computed sentence per section: what was measured, never what was expected."""

from collections.abc import Iterable

import numpy as np

from dashboards.collapse_results import CollapseResults, Look, ToyLook, labels_of, plain_labels, regularized_pairs
from dashboards.collapse_tables import Choice, Weighting, rows_of
from dashboards.evidence_tables import BlockChoice, block_choices, heat_map, largest_single, order, shown
from dashboards.results import SpectrumRow, Trial
from dashboards.tables import grouped
from dashboards.toy_tables import dims, ends
from recscale.curves.curve import Observation
from recscale.curves.differences import Difference, Trend, difference


def spectra_words(results: CollapseResults) -> str:
    """How large the typical singular value is, before and after training."""
    parts = []
    for label in labels_of(results):
        trials = largest_single(results, label)
        rows = _single_rows(results, trials)
        if not rows:
            continue
        before, after = (_typical([row for row in rows if row.moment == moment]) for moment in ("initial", "best"))
        parts.append(f"{label} {after:.0%} (before training {before:.0%}, scale {trials[0].scale:g}×)")
    if not parts:
        return "No single-embedding trial has spectra."
    return f"The median singular value over the largest, in the median single-embedding table: {', '.join(parts)}."


def _single_rows(results: CollapseResults, trials: tuple[Trial, ...]) -> list[SpectrumRow]:
    """The unweighted spectra of single-embedding trials of one label and scale."""
    ids = {trial.trial_id for trial in trials}
    rows = rows_of(results.study, Choice(trials[0].family, trials[0].scale), Weighting.UNIFORM) if trials else []
    return [row for row in rows if row.trial_id in ids and row.set_index is None]


def _typical(rows: list[SpectrumRow]) -> float:
    """Median over fields of the median value over the largest, among those that the field's ids leave room for."""
    shares = []
    for row in rows:
        values_R = np.array(row.spectrum[: min(row.dim, row.vocabulary_size)])
        shares.append(float(np.median(values_R) / (values_R.max() or 1.0)))
    return float(np.median(shares)) if shares else 0.0


def trained_words(results: CollapseResults) -> str:
    """IA/K before and after training at the largest scale, and in how many fields it fell."""
    parts = []
    for label in labels_of(results):
        trials = largest_single(results, label)
        if not trials or results.looks is None:
            continue
        ids = {trial.trial_id for trial in trials}
        looks = [look for look in results.looks if look.trial_id in ids]
        before, after = (
            _observed((look for look in looks if look.moment == m), "ia_ratio_mean") for m in ("initial", "best")
        )
        if before and after:
            moved = moves(difference(before, after), 3)
            parts.append(f"{label} {moved} at scale {trials[0].scale:g}×{_fallen(_single_rows(results, trials))}")
    if not parts:
        return "training.parquet has no single-embedding trial, so nothing is known about IA before training."
    return f"Over training, the mean IA/K of single-embedding tables: {'; '.join(parts)}."


def _fallen(rows: list[SpectrumRow]) -> str:
    """In how many fields IA is lower than before training, of one trial per label."""
    pairs = grouped(((row.trial_id, row.field), row) for row in rows).values()
    moments = [{row.moment: row.information_abundance for row in pair} for pair in pairs]
    both = [pair for pair in moments if {"initial", "best"} <= pair.keys()]
    lower = sum(pair["best"] < pair["initial"] for pair in both)
    return f" (lower in {lower} of {len(both)} fields)" if both else ""


def blocks_words(results: CollapseResults) -> str:
    """Whether the marginals of the heat-map follow IA(E_i), for single-embedding at the largest scale."""
    choices = [choice for choice in block_choices(results) if choice.num_sets == 1]
    largest = grouped((choice.label, choice) for choice in choices)
    parts = [_block_words(results, group[0]) for group in largest.values()]
    if not parts:
        return "No single-embedding trial has sub-embeddings: they need a family with blocks between fields."
    return f"With fields in order of IA(Eᵢ), the mean of IA(Eᵢ→ⱼ), by rank correlation: {'; '.join(parts)}."


def _block_words(results: CollapseResults, choice: BlockChoice) -> str:
    table = heat_map(results, choice)
    over_i, over_j = (_order_words(table.own, means) for means in (table.along_i(), table.along_j()))
    return (
        f"{choice.label} at scale {choice.scale:g}× {over_i} along i and {over_j} along j ({len(table.fields)} fields)"
    )


def _order_words(own: tuple[float, ...], marginal: list[float]) -> str:
    found = order(own, marginal)
    if found is None:
        return "cannot be ranked"
    verb = ("rises" if found.correlation > 0 else "falls") if found.sure else "shows no clear order"
    return f"{verb} ({found.correlation:+.2f})"


def toy_words(looks: tuple[ToyLook, ...]) -> str:
    """How IA(E_1) moves over the steps, by K and size of the third field."""
    return " ".join(_toy_words(looks, dim) for dim in dims(looks))


def _toy_words(looks: tuple[ToyLook, ...], dim: int) -> str:
    mine = tuple(look for look in looks if look.embed_dim == dim)
    first, last = (grouped((look.third_size, look) for look in ends(mine, at_last)) for at_last in (False, True))
    parts = []
    for size in sorted(first):
        before, after = (
            [Observation(1.0, 1.0, look.information_abundance, f"seed {look.seed}") for look in group[size]]
            for group in (first, last)
        )
        parts.append(f"{moves(difference(before, after), 2)} where field 3 has {size} ids")
    steps, seeds = max(look.step for look in mine), len({look.seed for look in mine})
    return f"With K = {dim}, IA(E₁) over {steps:,} steps {' and '.join(parts)} ({_seeds(seeds)})."


def regularizer_words(results: CollapseResults) -> str:
    """What the regulariser does to abundance and to test AUC, single-embedding at the largest common scale."""
    parts = [words for pair in regularized_pairs(results) if (words := _regularizer_words(results, *pair))]
    if not parts:
        return "No family has single-embedding trials both with and without the orthogonality regulariser."
    return f"With the regulariser against without: {'; '.join(parts)}."


def _regularizer_words(results: CollapseResults, base: str, label: str) -> str:
    single = [trial for trial in results.study.finished if trial.arm == "SE"]
    without, with_it = ([trial for trial in single if trial.family == name] for name in (base, label))
    common = {trial.scale for trial in without} & {trial.scale for trial in with_it}
    if not common:
        return ""
    scale = max(common)
    abundance, auc = (
        difference(*(_observed((t for t in trials if t.scale == scale), column) for trials in (without, with_it)))
        for column in ("ia_ratio_mean", "test_auc")
    )
    return (
        f"{label} at scale {scale:g}×{_shown_words(results, base, label, scale)}, IA/K of tables is "
        f"{differs(abundance, 3)}, test AUC is {differs(auc, 4)} ({_both_seeds(auc)})"
    )


def _shown_words(results: CollapseResults, base: str, label: str, scale: float) -> str:
    """IA of what fields show, with the regulariser and without; nothing where it was not measured on both."""
    means = {row.family: row.ia_ratio_mean for row in shown(results) if (row.arm, row.scale) == ("SE", scale)}
    if not {base, label} <= means.keys():
        return ""
    return f": IA of what fields show over its bound is {means[label]:.3f} against {means[base]:.3f} (first seed)"


def families_words(results: CollapseResults) -> str:
    """How AUC and IA/K of single-embedding move over scales, by family."""
    parts = [words for label in plain_labels(results) if (words := _family_words(results, label))]
    if not parts:
        return "No family has single-embedding trials at two scales."
    return f"Single-embedding over scales: {'; '.join(parts)}."


def _family_words(results: CollapseResults, label: str) -> str:
    mine = [trial for trial in results.study.finished if (trial.family, trial.arm) == (label, "SE")]
    scales = sorted({trial.scale for trial in mine})
    if len(scales) < 2:
        return ""
    auc, abundance = (
        difference(*(_observed((t for t in mine if t.scale == scale), column) for scale in (scales[0], scales[-1])))
        for column in ("test_auc", "ia_ratio_mean")
    )
    span = f"from {scales[0]:g}× to {scales[-1]:g}×"
    return f"{label} {span}: test AUC {moves(auc, 4)}, IA/K {moves(abundance, 3)}"


def moves(change: Difference, digits: int) -> str:
    """A change over time or scale."""
    span = f"from {change.first:.{digits}f} to {change.second:.{digits}f}"
    if change.trend in (Trend.RISES, Trend.FALLS):
        return f"{change.trend.value} {span}"
    return f"goes {span}, {_unclear(change)}"


def differs(change: Difference, digits: int) -> str:
    """The second against the first."""
    values = f"{change.second:.{digits}f} against {change.first:.{digits}f}"
    if change.trend in (Trend.RISES, Trend.FALLS):
        return f"{'higher' if change.trend is Trend.RISES else 'lower'}, {values}"
    return f"{values}, {_unclear(change)}"


def _unclear(change: Difference) -> str:
    return "with one seed" if change.trend is Trend.ONE_SEED else "within seed noise"


def _observed(rows: Iterable[Trial | Look], column: str) -> list[Observation]:
    return [
        Observation(row.scale, row.scale, getattr(row, column), row.trial_id)
        for row in rows
        if getattr(row, column) is not None
    ]


def _both_seeds(change: Difference) -> str:
    first, second = change.seeds
    return f"{_seeds(first)} each" if first == second else f"{_seeds(second)} against {first}"


def _seeds(count: int) -> str:
    return f"{count} seed{'s' if count > 1 else ''}"
