"""Quality against cost: every cell, and the front that no other cell dominates."""

import numpy as np
import plotly.graph_objects as go

from dashboards.outlook import ParetoRow
from dashboards.page import Control, ControlKind, Panel, controls_html, panels_html, plot_text, section_html
from dashboards.results import StudyResults
from dashboards.style import FAMILY_COLORS, GREY, SYMBOLS, empty_figure, figure, size_axis, titled
from dashboards.tables import grouped

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
    auc = [row for row in rows if row.metric == "test_auc"]
    figures = tuple(
        pareto_figure([row for row in auc if row.cost_name == cost], title) for cost, title in COSTS.items()
    )
    panel = Panel("pareto", "Which cells does no other cell beat?", (CONTROL,), figures)
    return section_html(TITLE, controls_html(panel.controls) + panels_html([panel], HOW_TO_READ)), [panel]


def pareto_figure(rows: list[ParetoRow], title: str) -> go.Figure:
    """The front as steps, and every cell by family and arm."""
    if not rows:
        return empty_figure("No finished cell knows its cost and test AUC.")
    families = list(dict.fromkeys(row.family for row in rows))
    traces = [_front(rows)]
    for (family, arm), group in grouped(((row.family, row.arm), row) for row in rows).items():
        traces.append(_cells(families.index(family), family, arm, group))
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


def _cells(place: int, family: str, arm: str, rows: list[ParetoRow]) -> go.Scatter:
    color = FAMILY_COLORS[place % len(FAMILY_COLORS)]
    symbol = SYMBOLS[place // len(FAMILY_COLORS) % len(SYMBOLS)]
    return go.Scatter(
        name=f"{plot_text(family)} {arm}",
        x=np.array([row.cost for row in rows]),
        y=np.array([row.quality for row in rows]),
        mode="markers",
        marker={"color": color, "symbol": symbol if arm == "SE" else f"{symbol}-open", "size": 9},
        text=[f"scale {row.scale:g}×, {row.num_sets} sets{', on the front' if row.on_front else ''}" for row in rows],
        hovertemplate=f"{plot_text(family)} {arm}<br>%{{text}}<br>%{{x:.4s}}: AUC %{{y:.5f}}<extra></extra>",
    )
