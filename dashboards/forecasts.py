"""The section on sizes beyond the grid: what the next step would buy, and what a gain would need."""

from collections.abc import Iterable

from dashboards.outlook import ForecastRow
from dashboards.page import Panel, number, section_html, text
from dashboards.results import StudyResults
from dashboards.tables import place_of
from dashboards.trial_table import sortable_html
from recscale.curves.curve import Curve
from recscale.curves.forecast import Kind
from recscale.curves.words import constant_words, is_constant

TITLE = "Beyond the grid"
OPENING = (
    "Read off the fitted laws. A forecast lies outside the sizes that were run; its distance is in multiples of their "
    "whole logarithmic range: beyond 1 it is a guess, whatever its interval says."
)
CONSTANT_OPENING = "No gain is forecast where none was found, which is not to say that none is possible:"
COLUMNS = (
    ("family", "text"),
    ("arm", "text"),
    ("law", "text"),
    ("at scale", "number"),
    ("kind", "text"),
    ("distance", "number"),
    ("test AUC", "number"),
    ("90 % interval of the mean", "text"),
    ("90 % interval of one run", "text"),
    ("gain over the largest scale", "text"),
)


def section(results: StudyResults) -> tuple[str, list[Panel]]:
    """The section; it has no figure."""
    found = results.outlook.forecasts
    if found is None:
        return section_html(TITLE, "<p>forecasts.json has not been written; `recscale report` writes it.</p>"), []
    of_auc = (row for row in found.forecasts if row.metric == "test_auc")
    rows = sorted(of_auc, key=lambda row: place_of(results, row.family, row.variant))
    if not rows:
        return section_html(TITLE, "<p>No law was fitted over two scales or more, so nothing can be forecast.</p>"), []
    needs = "".join(f"<li>{text(row.sentence)}</li>" for row in found.needs)
    curves = {_key(curve): curve for curve in (results.curves.curves if results.curves else ())}
    read = {_key(row): curves.get(_key(row)) for row in rows}
    shown = [_cells(row, read[_key(row)]) for row in rows]
    body = f"<p>{text(OPENING)}</p>{sortable_html('forecasts', COLUMNS, shown)}"
    constants = _constants(filter(None, read.values()))
    asked = f"<h3>What a gain of AUC over the base needs</h3><ul>{needs}</ul>" if needs else ""
    return section_html(TITLE, body + constants + asked), []


def _key(of: ForecastRow | Curve) -> tuple[str, ...]:
    """What a curve and its forecasts have in common."""
    return of.family, of.variant, of.arm, of.metric


def _constants(curves: Iterable[Curve]) -> str:
    """What constant laws leave open, where there are any."""
    constant = [curve for curve in curves if is_constant(curve)]
    said = (f"the law of {curve.family} ({curve.variant}) {curve.arm} is {constant_words(curve)}" for curve in constant)
    listed = "".join(f"<li>{text(each)}</li>" for each in said)
    return f"<p>{text(CONSTANT_OPENING)}</p><ul>{listed}</ul>" if constant else ""


def _cells(row: ForecastRow, curve: Curve | None) -> tuple[str, ...]:
    there, brought = row.forecast, row.gain
    law = (curve.law if curve else None) or "–"
    kind = "forecast" if there.kind is Kind.FORECAST else "interpolation"
    gain = f"{brought.value:+.5f} [{brought.low:+.5f}, {brought.high:+.5f}]"
    return (
        row.family,
        row.arm,
        law,
        f"{there.x:g}",
        kind,
        f"{there.distance:.2f}",
        number(there.value, 5),
        f"[{there.low:.5f}, {there.high:.5f}]",
        f"[{there.run_low:.5f}, {there.run_high:.5f}]",
        "none, by a constant" if curve and is_constant(curve) else gain,
    )
