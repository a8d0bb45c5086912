"""Ablation figures, drawn from the rows of `ablation_tables`."""

from collections.abc import Callable
from enum import StrEnum
from itertools import product
from textwrap import wrap
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dashboards.ablation_tables import Comparison, VariantRow
from dashboards.figures import model_title
from dashboards.page import Control, ControlKind, Panel, plot_text
from dashboards.style import BLUE, GREEN, GREY, ORANGE, VERMILLION, empty_figure, figure, titled
from dashboards.tables import grouped
from recscale.curves.differences import Difference, Trend


class Reference(StrEnum):
    """What a difference is taken to."""

    MULTI = "ME"
    SINGLE = "SE"


REFERENCE_CONTROL = Control("reference", "Difference to", ControlKind.BUTTONS, tuple(Reference))
NAME_LETTERS, NAME_MARGIN = 14, 116
"""Letters of a variant's name in a line, and the pixels that they take; plotly's own fitting gives up on a phone."""
TREND_LOOKS = {
    "better": (GREEN, "circle", (Trend.RISES,)),
    "worse": (VERMILLION, "diamond", (Trend.FALLS,)),
    "within seed noise": (GREY, "circle-open", (Trend.WITHIN_NOISE,)),
    "one seed, no interval": (GREY, "x", (Trend.ONE_SEED,)),
}
READINGS: dict[str, tuple[str, str, Callable[[VariantRow], float | None]]] = {
    "IA / K": (BLUE, "circle", lambda row: row.ia_ratio),
    "IA / (M·K)": (GREEN, "square-open", lambda row: row.ia_concat_ratio),
    "set diversity": (ORANGE, "diamond", lambda row: row.set_diversity),
}


def comparison_title(comparison: Comparison) -> str:
    """Family, and whatever else differs in the study; the scale is told apart."""
    return " ".join([model_title(comparison.model), *(f"{name}={value}" for name, value in comparison.settings)])


def scale_control(comparisons: list[Comparison]) -> Control:
    """The scales of the study, largest first."""
    return Control("scale", "Scale", ControlKind.BUTTONS, tuple(f"{scale:g}×" for scale in _scales(comparisons)))


def ablation_panels(comparisons: list[Comparison]) -> list[Panel]:
    """Two panels per family: differences of test AUC, and collapse."""
    scales, control = _scales(comparisons), scale_control(comparisons)
    panels = []
    by_title = grouped((comparison_title(each), each) for each in comparisons)
    for position, (title, group) in enumerate(by_title.items()):
        rows = {each.scale: list(each.rows) for each in group}
        differences = [difference_figure(rows.get(s, []), ref) for s, ref in product(scales, Reference)]
        collapse = [collapse_figure(rows.get(scale, [])) for scale in scales]
        panels += [
            Panel(
                f"differences-{position}",
                f"{title}: what moves test AUC beyond seed noise?",
                (control, REFERENCE_CONTROL),
                tuple(differences),
            ),
            Panel(
                f"collapse-{position}",
                f"{title}: what lowers or lifts collapse and diversity?",
                (control,),
                tuple(collapse),
            ),
        ]
    return panels


def difference_figure(rows: list[VariantRow], reference: Reference) -> go.Figure:
    """One line per variant with its interval, coloured by what it shows beyond seed noise."""
    changes = [(row, change) for row in rows if (change := _change(row, reference))]
    if not changes:
        return empty_figure(f"No finished trial to compare with {reference} at this scale.")
    traces = [_difference_trace(name, changes) for name in TREND_LOOKS]
    x_axis = titled(f"test AUC minus that of {reference}", tickformat="+.4~f", nticks=5, zeroline=False)
    drawn = _lined_up([trace for trace in traces if len(trace.x)], x_axis, [row for row, _ in changes])
    drawn.add_vline(x=0, line={"color": GREY, "dash": "dash", "width": 1.5})
    return drawn


def _change(row: VariantRow, reference: Reference) -> Difference | None:
    return row.to_multi if reference is Reference.MULTI else row.to_single


def _difference_trace(name: str, changes: list[tuple[VariantRow, Difference]]) -> go.Scatter:
    """The variants of one look."""
    color, symbol, trends = TREND_LOOKS[name]
    chosen = [(row, change) for row, change in changes if change.trend in trends]
    values = [change.value for _, change in chosen]
    ends = [(change.low, change.high) for _, change in chosen]
    return go.Scatter(
        name=name,
        x=np.array(values),
        y=[_label(row) for row, _ in chosen],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [0.0 if high is None else high - v for v, (_, high) in zip(values, ends, strict=True)],
            "arrayminus": [0.0 if low is None else v - low for v, (low, _) in zip(values, ends, strict=True)],
            "thickness": 1.5,
            "width": 4,
        },
        mode="markers",
        marker={"color": color, "symbol": symbol, "size": 10, "line": {"color": color, "width": 2}},
        text=[_hover(row) for row, _ in chosen],
        hovertemplate="%{text}<br>difference %{x:+.5f}<extra></extra>",
    )


def _hover(row: VariantRow) -> str:
    """What hovering over a variant says."""
    spread = "one seed" if row.std is None else f"± {row.std:.2g} over {len(row.trial_ids)} seeds"
    trials = ", ".join(plot_text(trial_id) for trial_id in row.trial_ids)
    return f"{_label(row)}, {row.num_sets} sets<br>test AUC {row.auc:.5f} {spread}<br>trials {trials}"


def collapse_figure(rows: list[VariantRow]) -> go.Figure:
    """The three readings of every variant's tables, on one axis from 0 to 1."""
    if not rows:
        return empty_figure("No finished trial at this scale.")
    traces = [_reading_trace(name, rows) for name in READINGS]
    return _lined_up(traces, titled("share of the greatest possible, 0 to 1", range=[0, 1], nticks=6), rows)


def _reading_trace(name: str, rows: list[VariantRow]) -> go.Scatter:
    color, symbol, read = READINGS[name]
    known = [(row, value) for row in rows if (value := read(row)) is not None]
    return go.Scatter(
        name=name,
        x=np.array([value for _, value in known]),
        y=[_label(row) for row, _ in known],
        mode="markers",
        marker={"color": color, "symbol": symbol, "size": 12 if symbol.endswith("open") else 8},
        text=[_hover(row) for row, _ in known],
        hovertemplate=f"%{{text}}<br>{name} %{{x:.3f}}<extra></extra>",
    )


def _label(row: VariantRow) -> str:
    return "<br>".join(map(plot_text, wrap(row.name, NAME_LETTERS)))


def _lined_up(traces: list[go.Scatter], x_axis: dict[str, Any], rows: list[VariantRow]) -> go.Figure:
    """Traces with the variants from top to bottom, beside a margin that their names fit into."""
    names = list(dict.fromkeys(_label(row) for row in rows))
    order = {"categoryorder": "array", "categoryarray": names[::-1], "range": [-0.6, len(names) - 0.4]}
    y_axis = titled("variant", type="category", automargin=False, tickfont={"size": 10}, **order)
    drawn = figure(traces, x_axis, y_axis)
    drawn.update_layout(margin_l=NAME_MARGIN, showlegend=True)
    return drawn


def _scales(comparisons: list[Comparison]) -> list[float]:
    return sorted({each.scale for each in comparisons}, reverse=True)
