"""What every figure shares: colours that stay apart for colour-blind readers, markers, axes, number formats."""

import math
from collections.abc import Iterable
from typing import Any

import plotly.graph_objects as go

ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE = "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"
"""Okabe and Ito's palette without black and yellow, which vanish on a dark or a light page."""
GREY = "#8A8F96"
FAMILY_COLORS = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY)
SYMBOLS = ("circle", "square", "triangle-up", "cross", "x", "pentagon")
"""A second cue beside the colour; diamonds are left to multi-embedding, where an arm alone has a marker."""
ARM_COLORS = {"SE": BLUE, "ME": VERMILLION}
ARM_DASHES = {"SE": "solid", "ME": "dash"}
ARM_SYMBOLS = {"SE": "circle", "ME": "diamond"}
LOG_FROM_RATIO = 3.0
"""An axis whose largest value is at least this multiple of its smallest is logarithmic."""


def series_color(position: int) -> str:
    """The colour of a figure's series by its number; past the palette's end colours come again."""
    return FAMILY_COLORS[position % len(FAMILY_COLORS)]


def series_symbol(position: int, arm: str = "SE") -> str:
    """The marker of a series, open for multi-embedding; where colours come again, markers have moved on by one."""
    symbol = SYMBOLS[(position + position // len(FAMILY_COLORS)) % len(SYMBOLS)]
    return symbol if arm == "SE" else f"{symbol}-open"


def faded(color: str, opacity: float) -> str:
    """A #RRGGBB colour with an opacity."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def figure(traces: Iterable[go.Scatter], x_axis: dict[str, Any], y_axis: dict[str, Any]) -> go.Figure:
    """Traces on titled axes, the legend in a row above them, plotly's buttons to the right; colours are the page's."""
    layout = go.Layout(
        template=go.layout.Template(),
        xaxis=x_axis,
        yaxis=y_axis,
        margin={"l": 8, "r": 36, "t": 36, "b": 8},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.01, "xanchor": "left", "x": 0},
        hovermode="closest",
    )
    return go.Figure(data=list(traces), layout=layout)


def empty_figure(sentence: str) -> go.Figure:
    """A sentence where a figure would be."""
    drawn = figure([], {"visible": False}, {"visible": False})
    drawn.add_annotation(text=sentence, showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5)
    return drawn


def titled(title: str, **settings: Any) -> dict[str, Any]:
    """An axis with a title."""
    return {"title": {"text": title}, **settings}


def scale_axis(scales: Iterable[float]) -> dict[str, Any]:
    """A logarithmic axis with a tick at every scale."""
    ticks = sorted(set(scales))
    return titled(
        "scale (embedding budget, × base)", type="log", tickvals=ticks, ticktext=[f"{tick:g}×" for tick in ticks]
    )


def size_axis(title: str, values: Iterable[float]) -> dict[str, Any]:
    """An axis for counts or seconds: logarithmic with ticks at 1, 2, 5 where the values span enough, else linear."""
    positive = [value for value in values if value > 0]
    low, high = min(positive, default=1.0), max(positive, default=1.0)
    if high < LOG_FROM_RATIO * low:
        return titled(title, tickformat="~s", nticks=6)
    ticks = log_ticks(low, high)
    return titled(title, type="log", tickvals=ticks, ticktext=[si(tick) for tick in ticks])


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten around [low, high]; powers of ten alone over more than two decades."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high <= 100 * low else (1,)
    return [step * 10.0**decade for decade in decades for step in steps if low / 2 <= step * 10.0**decade <= 2 * high]


def si(value: float) -> str:
    """A number with a unit prefix: 1.5M; below 1 as it is."""
    for factor, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.3g}{suffix}"
    return f"{value:.3g}"


INK, PAPER, GRID, AXIS = "#1b1f24", "#ffffff", "#e6e8eb", "#8a9199"
"""The light theme of page.css, for figures outside a page."""


def figure_template() -> go.layout.Template:
    """What the page's script gives to every figure, in the light theme."""
    axis = {
        "gridcolor": GRID,
        "linecolor": AXIS,
        "zeroline": False,
        "showline": True,
        "ticks": "outside",
        "tickcolor": AXIS,
        "automargin": True,
        "title": {"standoff": 8},
    }
    layout = {
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "font": {"color": INK, "size": 12},
        "xaxis": axis,
        "yaxis": axis,
    }
    return go.layout.Template(layout=layout)
