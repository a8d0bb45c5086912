"""The section that pairs multi- with single-embedding on the same test rows."""

from collections.abc import Sequence

from dashboards.outlook import PairedRow
from dashboards.page import Panel, section_html, text
from dashboards.results import StudyResults
from dashboards.tables import place_of
from dashboards.trial_table import sortable_html
from recscale.curves.verdict import spoken

TITLE = "Paired on the same test rows"
LEVEL = 0.1
"""Corrected p values up to this are called a difference: the level of the page's intervals."""
OPENING = (
    "Seed by seed, both arms score the same test rows: DeLong's test for AUC, a bootstrap of rows for log loss. The "
    "interval holds the noise between seeds, pooled over the family's cells, and that of the finite test set; p is "
    "corrected by Holm over all rows of a metric."
)
COLUMNS = (
    ("family", "text"),
    ("scale", "number"),
    ("sets", "number"),
    ("metric", "text"),
    ("ME − SE", "number"),
    ("90 % interval", "text"),
    ("seeds", "number"),
    ("P(ME better)", "number"),
    ("p", "number"),
    ("p (Holm)", "number"),
)


def section(results: StudyResults) -> tuple[str, list[Panel]]:
    """The section; it has no figure."""
    found = results.outlook.paired
    if found is None:
        return section_html(TITLE, "<p>paired.parquet has not been written; `recscale report` writes it.</p>"), []
    rows = sorted(found, key=lambda row: place_of(results, row.family, row.variant))
    if not rows:
        return section_html(TITLE, "<p>No scale has finished trials of both arms with the same seed.</p>"), []
    body = f"<p>{text(OPENING)}</p><p>{text(summary(rows))}</p>"
    return section_html(TITLE, body + sortable_html("paired", COLUMNS, [_cells(row) for row in rows])), []


def summary(rows: Sequence[PairedRow]) -> str:
    """How many cells differ in AUC after correction, and which way."""
    auc = [row for row in rows if row.metric == "test_auc"]
    clear = [row for row in auc if row.p_holm is not None and row.p_holm <= LEVEL]
    better = sum(row.value > 0 for row in clear)
    untested = sum(row.p_holm is None for row in auc)
    words = (
        f"In AUC, multi-embedding is better in {better} and worse in {len(clear) - better} of {len(auc)} comparisons "
        f"at level {LEVEL:g} after correction"
    )
    return f"{words}; {untested} could not be tested." if untested else f"{words}."


def _cells(row: PairedRow) -> tuple[str, ...]:
    interval = "–" if row.low is None or row.high is None else f"[{row.low:+.5f}, {row.high:+.5f}]"
    tested = [_shown(value) for value in (row.p_better, row.p_value, row.p_holm)]
    metric = spoken(row.metric).removeprefix("test ")
    return (
        row.family,
        f"{row.scale:g}",
        str(row.num_sets),
        metric,
        f"{row.value:+.5f}",
        interval,
        str(row.seeds),
        *tested,
    )


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
