"""Figures of the toy experiment: IA(E_1) against step, and its gradient taken apart by direction."""

from itertools import product

import numpy as np
import plotly.graph_objects as go

from dashboards.collapse_results import ToyLook
from dashboards.page import Control, ControlKind, Panel
from dashboards.style import BLUE, GREY, VERMILLION, faded, figure, titled
from dashboards.toy_tables import Push, PushLine, ToyCurve, dims, push_lines, toy_curves

MOMENT_CONTROL = Control("toy-moment", "Gradient at", ControlKind.BUTTONS, ("the first step", "the last step"))
SIZE_COLORS = (VERMILLION, BLUE)
SIZE_DASHES = ("solid", "dash")
PUSH_TITLES = {
    Push.ALPHA: "α: how hard do residuals pull along each direction?",
    Push.SPECTRUM: "s: how long are those directions in the other table?",
    Push.PRODUCT: "α·s: along which directions is E₁ pushed most?",
    Push.ENERGY: "How much of E₁ lies along each direction?",
}
PUSH_AXES = {
    Push.ALPHA: "α, RMS over the ids of field 1",
    Push.SPECTRUM: "singular value s",
    Push.PRODUCT: "α·s, RMS over the ids of field 1",
    Push.ENERGY: "share of E₁'s squared norm",
}


def dim_control(looks: tuple[ToyLook, ...]) -> Control:
    """The choice of K."""
    return Control("toy-dim", "K", ControlKind.BUTTONS, tuple(str(dim) for dim in dims(looks)))


def toy_panels(looks: tuple[ToyLook, ...]) -> list[Panel]:
    """IA(E_1) against step, then a panel per factor of the gradient."""
    control = dim_control(looks)
    curves = tuple(toy_figure(toy_curves(looks, dim)) for dim in dims(looks))
    panels = [Panel("toy", "IA(E₁) against step: does it fall where field 3 is small?", (control,), curves)]
    for push in Push:
        figures = tuple(
            push_figure(push_lines(looks, dim, push, last), push) for dim, last in product(dims(looks), (False, True))
        )
        panels.append(Panel(f"toy-{push.value}", PUSH_TITLES[push], (control, MOMENT_CONTROL), figures))
    return panels


def toy_figure(curves: list[ToyCurve]) -> go.Figure:
    """Every seed faint, their mean on top."""
    traces = [trace for position, curve in enumerate(curves) for trace in _curve_traces(curve, position)]
    return figure(traces, titled("full-batch SGD step", nticks=6), titled("information abundance of E₁"))


def _curve_traces(curve: ToyCurve, position: int) -> list[go.Scatter]:
    color, dash = SIZE_COLORS[position % 2], SIZE_DASHES[position % 2]
    name = f"field 3 of {curve.third_size} ids"
    steps = np.array(curve.steps, dtype=np.uint32)
    faint = [
        go.Scatter(
            x=steps,
            y=np.array(values, dtype=np.float32),
            mode="lines",
            line={"color": faded(color, 0.3), "dash": dash, "width": 1},
            legendgroup=name,
            showlegend=False,
            hovertemplate=f"{name}, seed {seed}<br>step %{{x}}: IA %{{y:.3f}}<extra></extra>",
        )
        for seed, values in curve.seeds
    ]
    mean = go.Scatter(
        name=name,
        x=steps,
        y=np.array(curve.mean, dtype=np.float32),
        mode="lines",
        line={"color": color, "dash": dash, "width": 3},
        legendgroup=name,
        hovertemplate=f"{name}, mean of {len(curve.seeds)} seeds<br>step %{{x}}: IA %{{y:.3f}}<extra></extra>",
    )
    return [*faint, mean]


def push_figure(lines: list[PushLine], push: Push) -> go.Figure:
    """One factor over the directions of the other fields' tables."""
    traces = [_push_trace(line, position) for position, line in enumerate(lines)]
    return figure(
        traces,
        titled("k, direction v of the other field's table", nticks=8),
        titled(PUSH_AXES[push], rangemode="tozero"),
    )


def _push_trace(line: PushLine, position: int) -> go.Scatter:
    color = SIZE_COLORS[position % 2] if line.is_third else GREY
    return go.Scatter(
        name=line.field,
        x=np.arange(1, len(line.values) + 1, dtype=np.uint16),
        y=np.array(line.values, dtype=np.float32),
        mode="lines+markers",
        line={"color": color, "dash": SIZE_DASHES[position % 2] if line.is_third else "dot", "width": 2},
        marker={"size": 7, "symbol": ("circle", "diamond")[position % 2] if line.is_third else "square"},
        hovertemplate=f"{line.field}, mean of {line.seeds} seeds<br>k = %{{x}}: %{{y:.3g}}<extra></extra>",
    )
