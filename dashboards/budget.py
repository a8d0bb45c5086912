"""Multi- against single-embedding at equal budget, however the budget is counted: a figure, a table, sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import plotly.graph_objects as go

from dashboards.evidence import BudgetCell
from dashboards.figures import model_title
from dashboards.page import Control, ControlKind, Panel, controls_html, panels_html, plot_text, section_html, text
from dashboards.results import StudyResults, Trial
from dashboards.style import BLUE, GREEN, GREY, ORANGE, PURPLE, empty_figure, figure, scale_axis, titled
from dashboards.tables import Metric, Model, grouped, place_of
from recscale.curves.budget_words import AXIS_NAMES, budget_sentence, outcome
from recscale.curves.equal_budget import BudgetAxis, Comparison
from recscale.curves.verdict import Better

TITLE = "Equal budgets"
OPENING = (
    "At equal scale the two arms have equally large tables, but neither the same dense parameters nor the same cost. "
    "Here every multi-embedding cell (one scale and number of sets) meets single-embedding of the same size, counted "
    "in four ways."
)
HOW_TO_READ = (
    "Above 0, multi-embedding has the higher value at the same budget (better for AUC, worse for log loss). Each scale "
    "has one marker per way of counting, moved apart sideways; bars are 90 % intervals over seeds, missing where there "
    "is one seed. Single-embedding between two of its scales is interpolated in the logarithm of the size; where "
    "multi-embedding is larger or smaller than every single-embedding trial, no marker is drawn."
)
COLORS = {
    BudgetAxis.SCALE: BLUE,
    BudgetAxis.TOTAL_PARAMS: ORANGE,
    BudgetAxis.DENSE_PARAMS: GREEN,
    BudgetAxis.FLOPS: PURPLE,
}
SYMBOLS = {
    BudgetAxis.SCALE: "circle",
    BudgetAxis.TOTAL_PARAMS: "square",
    BudgetAxis.DENSE_PARAMS: "triangle-up",
    BudgetAxis.FLOPS: "diamond",
}
METRIC_NAMES = {
    Metric.AUC: "test AUC",
    Metric.LOG_LOSS: "test log loss",
    Metric.NORMALIZED_ENTROPY: "test normalized entropy",
}
METRIC_CONTROL = Control("budget-metric", "Metric", ControlKind.BUTTONS, ("AUC", "log loss", "normalized entropy"))
APART = 0.06
"""Share of x between neighbouring markers of one scale."""


@dataclass(frozen=True)
class BudgetRow:
    """One multi-embedding cell in the table: AUC on all axes."""

    model: Model
    """Family and variant."""
    scale: float
    """Its scale."""
    num_sets: int
    """Its sets."""
    words: tuple[str, ...]
    """Difference, interval and outcome, one per axis in the order of BudgetAxis."""


def section(results: StudyResults) -> tuple[str, list[Panel]]:
    """The section and its panel."""
    found = results.evidence.budgets
    if found is None:
        lacking = "<p>equal_budget.parquet has not been written; `recscale report` writes it.</p>"
        return section_html(TITLE, lacking), []
    cells = tuple(sorted(found, key=lambda cell: place_of(results, cell.family, cell.variant)))
    if not cells:
        return section_html(TITLE, "<p>No multi-embedding trial has finished, so there is nothing to compare.</p>"), []
    panel = budget_panel(results, cells)
    body = f"<p>{text(OPENING)}</p>{_sentences(cells)}{controls_html(panel.controls)}"
    return section_html(TITLE, f"{body}{panels_html([panel], HOW_TO_READ)}{_table(cells)}"), [panel]


def budget_models(cells: tuple[BudgetCell, ...]) -> list[Model]:
    """Families and variants, in the order of the cells."""
    return list(dict.fromkeys(Model(cell.family, cell.variant) for cell in cells))


def budget_panel(results: StudyResults, cells: tuple[BudgetCell, ...]) -> Panel:
    """ME − SE against scale for the chosen family and metric."""
    found = budget_models(cells)
    control = Control("budget-family", "Family", ControlKind.DROPDOWN, tuple(map(model_title, found)))
    figures = tuple(
        budget_figure(chosen(cells, model, metric), metric, results.finished)
        for model, metric in product(found, Metric)
    )
    title = "Multi- minus single-embedding at equal budget: which bars stay clear of 0?"
    return Panel("budget", title, (control, METRIC_CONTROL), figures)


def chosen(cells: tuple[BudgetCell, ...], model: Model, metric: Metric) -> list[BudgetCell]:
    """The cells of one family and metric."""
    return [c for c in cells if (c.family, c.variant, c.metric) == (model.family, model.variant, metric.value)]


def budget_figure(cells: list[BudgetCell], metric: Metric, trials: Sequence[Trial]) -> go.Figure:
    """One series per axis, with a line at no difference; hovering names those of the trials that were compared."""
    inside = [cell for cell in cells if cell.comparison.value is not None]
    if not inside:
        return empty_figure("No cell can be compared; the table below says why.")
    traces = [_trace(axis, group, trials) for axis, group in grouped((cell.axis, cell) for cell in inside).items()]
    drawn = figure(
        traces,
        scale_axis(cell.scale for cell in cells),
        titled(f"ME − SE, {METRIC_NAMES[metric]}", tickformat="+.4~f", nticks=7),
    )
    drawn.add_hline(y=0, line={"color": GREY, "width": 1.5})
    return drawn


def _trace(axis: BudgetAxis, cells: list[BudgetCell], trials: Sequence[Trial]) -> go.Scatter:
    """The comparisons on one axis."""
    shift = (1 + APART) ** (list(BudgetAxis).index(axis) - 1.5)
    return go.Scatter(
        name=f"equal {AXIS_NAMES[axis]}",
        x=np.array([cell.scale * shift for cell in cells]),
        y=np.array([cell.comparison.value for cell in cells]),
        error_y={"type": "data", "array": [_half(cell.comparison) for cell in cells], "thickness": 1.2, "width": 4},
        mode="markers",
        marker={"color": COLORS[axis], "symbol": SYMBOLS[axis], "size": 9},
        text=[_hover(cell, trials) for cell in cells],
        hovertemplate=f"equal {AXIS_NAMES[axis]}<br>%{{text}}<extra></extra>",
    )


def _half(found: Comparison) -> float:
    """Half the width of the interval; 0 where there is none."""
    return 0.0 if found.low is None or found.high is None else (found.high - found.low) / 2


def _hover(cell: BudgetCell, trials: Sequence[Trial]) -> str:
    """What hovering over a comparison says."""
    found = cell.comparison
    between = sorted({found.lower_scale or 0.0, found.upper_scale or 0.0})
    where = " and ".join(f"{scale:g}×" for scale in between)
    return (
        f"ME scale {cell.scale:g}×, {cell.num_sets} sets: {found.multi:.5f}<br>SE of {found.x:,.6g} {cell.axis}: "
        f"{found.single:.5f}<br>from SE at scale {where}<br>{_numbers(found)}<br>{_trials_text(cell, trials)}"
    )


def _trials_text(cell: BudgetCell, trials: Sequence[Trial]) -> str:
    """The trials of both sides, as far as the family's label names no settings that tell them apart."""
    mine = [trial for trial in trials if (trial.family, trial.variant) == (cell.family, cell.variant)]
    multi = [t for t in mine if (t.scale, t.num_sets) == (cell.scale, cell.num_sets)]
    near = {cell.comparison.lower_scale, cell.comparison.upper_scale}
    single = [trial for trial in mine if trial.arm == "SE" and trial.scale in near]
    return "<br>".join(
        f"{arm} trials {', '.join(plot_text(trial.trial_id) for trial in group)}"
        for arm, group in (("ME", multi), ("SE", single))
        if group
    )


def budget_rows(cells: tuple[BudgetCell, ...]) -> list[BudgetRow]:
    """AUC of every multi-embedding cell on all axes."""
    of_auc = [cell for cell in cells if cell.metric == Metric.AUC.value]
    by_cell = grouped(((Model(c.family, c.variant), c.scale, c.num_sets), c) for c in of_auc)
    return [
        BudgetRow(*key, tuple(_words(cell.comparison) for axis in BudgetAxis for cell in group if cell.axis is axis))
        for key, group in by_cell.items()
    ]


def _words(found: Comparison) -> str:
    """A difference of AUC and what it comes to, or why there is none."""
    return found.note if found.value is None else f"{_numbers(found)}, {outcome(found, Better.HIGHER)}"


def _numbers(found: Comparison) -> str:
    """A difference with its interval where it has one."""
    interval = "" if found.low is None else f" [{found.low:+.4f}, {found.high:+.4f}]"
    return f"{found.value:+.4f}{interval}"


def _sentences(cells: tuple[BudgetCell, ...]) -> str:
    """What each family says about AUC."""
    lines = []
    for model in budget_models(cells):
        by_axis = grouped((cell.axis, cell.comparison) for cell in chosen(cells, model, Metric.AUC))
        lines.append(f"<li>{text(budget_sentence(model_title(model), Better.HIGHER, by_axis))}</li>")
    return f"<ul>{''.join(lines)}</ul>"


def _table(cells: tuple[BudgetCell, ...]) -> str:
    """Every multi-embedding cell."""
    titles = ("family", "scale", "sets", *(f"equal {name}" for name in AXIS_NAMES.values()))
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    rows = "".join(
        f'<tr><td>{text(model_title(row.model))}</td><td class="n">{row.scale:g}×</td><td class="n">{row.num_sets}</td>'
        + "".join(f"<td>{text(words)}</td>" for words in row.words)
        + "</tr>"
        for row in budget_rows(cells)
    )
    return (
        "<details><summary>Test AUC of multi- minus single-embedding, per cell and way of counting</summary>"
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        "</details>"
    )
