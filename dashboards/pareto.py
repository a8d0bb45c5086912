"""Quality against cost: every cell, and the front that no other cell dominates."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from dashboards.figures import model_title
from dashboards.outlook import ParetoRow
from dashboards.page import Control, ControlKind, Panel, controls_html, panels_html, plot_text, section_html
from dashboards.results import StudyResults, Trial
from dashboards.style import GREY, empty_figure, figure, series_color, series_symbol, size_axis, titled
from dashboards.tables import Model, grouped, place_of

TITLE = "Pareto front"
COSTS = {
    "flops_per_sample": "FLOPs per sample, forward",
    "seconds": "training and evaluation (seconds)",
    "memory_bytes": "planned peak memory (bytes)",
}
CONTROL = Control("pareto-cost", "Cost", ControlKind.BUTTONS, ("FLOPs per sample", "seconds", "memory"))
HOW_TO_READ = (
    "Points are cells (means over seeds), filled SE, open ME. On the grey line lie the cells that no other cell of "
    "this study beats in both cost and test AUC; whoever is below it pays more or gets less. Seed noise decides "
    "between neighbours: see the intervals above."
)


def section(results: StudyResults) -> tuple[str, list[Panel]]:
    """The section and its panel."""
    rows = results.outlook.pareto
    if rows is None:
        return section_html(TITLE, "<p>pareto.parquet has not been written; `recscale report` writes it.</p>"), []
    of_auc = (row for row in rows if row.metric == "test_auc")
    auc = sorted(of_auc, key=lambda row: place_of(results, row.family, row.variant))
    figures = tuple(
        pareto_figure([row for row in auc if row.cost_name == cost], title, results.finished)
        for cost, title in COSTS.items()
    )
    panel = Panel("pareto", "Which cells does no other cell beat?", (CONTROL,), figures)
    return section_html(TITLE, controls_html(panel.controls) + panels_html([panel], HOW_TO_READ)), [panel]


def pareto_figure(rows: list[ParetoRow], title: str, trials: Sequence[Trial]) -> go.Figure:
    """The front as steps, and every cell by family and arm; hovering names its trials."""
    if not rows:
        return empty_figure("No finished cell knows its cost and test AUC.")
    traces = [_front(rows)]
    by_model = grouped((Model(row.family, row.variant), row) for row in rows)
    for position, (model, members) in enumerate(by_model.items()):
        for arm, group in grouped((row.arm, row) for row in members).items():
            traces.append(_cells(position, model, arm, group, trials))
    return figure(traces, size_axis(title, [row.cost for row in rows]), titled("test AUC", tickformat=".4~f", nticks=7))


def _front(rows: list[ParetoRow]) -> go.Scatter:
    """The cells on the front, by cost."""
    front = sorted((row for row in rows if row.on_front), key=lambda row: row.cost)
    return go.Scatter(
        name="front",
        x=np.array([row.cost for row in front]),
        y=np.array([row.quality for row in front]),
        mode="lines",
        line={"color": GREY, "width": 2, "shape": "hv"},
        hoverinfo="skip",
    )


def _cells(position: int, model: Model, arm: str, rows: list[ParetoRow], trials: Sequence[Trial]) -> go.Scatter:
    name = f"{plot_text(model_title(model))} {arm}"
    return go.Scatter(
        name=name,
        x=np.array([row.cost for row in rows]),
        y=np.array([row.quality for row in rows]),
        mode="markers",
        marker={
            "color": series_color(position),
            "symbol": series_symbol(position, arm),
            "size": 9,
            "line": {"width": 0 if arm == "SE" else 2, "color": series_color(position)},
        },
        text=[_hover(row, trials) for row in rows],
        hovertemplate=f"{name}<br>%{{text}}<br>%{{x:.4s}}: AUC %{{y:.5f}}<extra></extra>",
    )


def _hover(row: ParetoRow, trials: Sequence[Trial]) -> str:
    """What hovering over a cell says."""
    cell = (row.family, row.variant, row.arm, row.scale, row.num_sets)
    ids = [t.trial_id for t in trials if (t.family, t.variant, t.arm, t.scale, t.num_sets) == cell]
    named = f"<br>trials {'<br>'.join(map(plot_text, ids))}" if ids else ""
    return f"scale {row.scale:g}×, {row.num_sets} sets{', on the front' if row.on_front else ''}{named}"
