"""Scaling and cost figures, drawn from the rows of `tables`."""

from itertools import product

import numpy as np
import plotly.graph_objects as go

from dashboards.overlays import overlay
from dashboards.page import Control, ControlKind, Panel, number, plot_text
from dashboards.results import StudyResults
from dashboards.style import (
    ARM_COLORS,
    ARM_DASHES,
    ARM_SYMBOLS,
    GREY,
    empty_figure,
    faded,
    figure,
    scale_axis,
    series_color,
    series_symbol,
    size_axis,
    titled,
)
from dashboards.tables import (
    Axis,
    Ceiling,
    Cost,
    CostPoint,
    FitLine,
    MeanPoint,
    Metric,
    Model,
    bayes_value,
    ceiling,
    cost_points,
    fit_lines,
    grouped,
    mean_points,
    models,
    trials_of,
)

METRIC_TITLES = {
    Metric.AUC: "test AUC",
    Metric.LOG_LOSS: "test log loss (nats)",
    Metric.NORMALIZED_ENTROPY: "test normalized entropy",
}
AXIS_TITLES = {
    Axis.TABLE_PARAMS: "table parameters",
    Axis.DENSE_PARAMS: "dense parameters",
    Axis.TOTAL_PARAMS: "table and dense parameters",
    Axis.FLOPS: "FLOPs per sample, forward",
}
COST_TITLES = {Cost.SECONDS: "training and evaluation (seconds)", Cost.FLOPS: "FLOPs per sample, forward"}
AXIS_CONTROL = Control(
    "axis",
    "Size axis",
    ControlKind.BUTTONS,
    ("scale", "table params", "dense params", "total params", "FLOPs per sample"),
)
METRIC_CONTROL = Control("metric", "Metric", ControlKind.BUTTONS, ("AUC", "log loss", "normalized entropy"))
COST_CONTROL = Control("cost", "Cost", ControlKind.BUTTONS, ("seconds", "FLOPs per sample"))


def model_title(model: Model) -> str:
    """A family's name, with the variant where it is not the default."""
    return model.family if model.variant == "fair" else f"{model.family} ({model.variant})"


def scaling_panels(results: StudyResults) -> list[Panel]:
    """One panel per family and variant; every combination of size axis and metric is a figure."""
    return [
        Panel(
            name=f"scaling-{position}",
            title=f"{model_title(model)}: does ME (dashed) pull away from SE?",
            controls=(AXIS_CONTROL, METRIC_CONTROL),
            figures=tuple(scaling_figure(results, model, axis, metric) for axis, metric in product(Axis, Metric)),
        )
        for position, model in enumerate(models(results))
    ]


def scaling_figure(results: StudyResults, model: Model, axis: Axis, metric: Metric) -> go.Figure:
    """SE against ME: seeds, their mean and spread, the fit with its interval where there is one, the Bayes ceiling."""
    points = mean_points(trials_of(results, model), axis.value, metric.value)
    if not points:
        return empty_figure(f"No finished trial knows its {axis.value} and {metric.value}.")
    lines = fit_lines(results, model, axis, metric)
    extra = overlay(results, model, axis, metric, points)
    traces = [*extra.traces, *(trace for line in lines for trace in (_band(line), _curve(line)))]
    fitted = {line.arm for line in lines}
    for arm, group in grouped((point.arm, point) for point in points).items():
        traces += [_seeds(arm, group), _means(arm, group, "markers" if arm in fitted else "lines+markers")]
    x_values = [*extra.x, *(point.x for point in points)]
    x_axis = scale_axis(x_values) if axis is Axis.SCALE else size_axis(AXIS_TITLES[axis], x_values)
    drawn = figure(traces, x_axis, titled(METRIC_TITLES[metric], tickformat=".4~f", nticks=7))
    _draw_ceiling(drawn, ceiling(bayes_value(results, metric), points, lines))
    if extra.note:
        _note_below(drawn, extra.note)
    return drawn


def _band(line: FitLine) -> go.Scatter:
    """The interval around a fitted curve."""
    return go.Scatter(
        x=np.array(line.x + line.x[::-1], dtype=np.float32),
        y=np.array(line.high + line.low[::-1], dtype=np.float32),
        fill="toself",
        fillcolor=faded(ARM_COLORS[line.arm], 0.16),
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        legendgroup=line.arm,
    )


def _curve(line: FitLine) -> go.Scatter:
    """A fitted curve; hovering names the law."""
    law = f"{line.arm} {plot_text(line.law)}<br>{plot_text(line.formula)}"
    return go.Scatter(
        x=np.array(line.x, dtype=np.float32),
        y=np.array(line.mean, dtype=np.float32),
        mode="lines",
        line={"color": ARM_COLORS[line.arm], "dash": ARM_DASHES[line.arm], "width": 2},
        name=f"{line.arm} law",
        text=law,
        hovertemplate=f"{law}<br>%{{x:.4g}}: %{{y:.5f}}<extra></extra>",
        legendgroup=line.arm,
    )


def _seeds(arm: str, points: list[MeanPoint]) -> go.Scatter:
    """Every trial as a faint dot."""
    seeds = [seed for point in points for seed in point.seeds]
    return go.Scatter(
        x=np.array([seed.x for seed in seeds], dtype=np.float32),
        y=np.array([seed.y for seed in seeds], dtype=np.float32),
        mode="markers",
        marker={"color": faded(ARM_COLORS[arm], 0.4), "symbol": ARM_SYMBOLS[arm], "size": 5},
        text=[f"trial {plot_text(seed.trial_id)}, seed {seed.seed}" for seed in seeds],
        hovertemplate=arm + " %{text}<br>%{y:.5f}<extra></extra>",
        showlegend=False,
        legendgroup=arm,
    )


def _means(arm: str, points: list[MeanPoint], mode: str) -> go.Scatter:
    """Seed means with the spread over seeds."""
    return go.Scatter(
        name=arm,
        x=np.array([point.x for point in points]),
        y=np.array([point.mean for point in points]),
        error_y={"type": "data", "array": [point.std or 0.0 for point in points], "thickness": 1.2, "width": 4},
        mode=mode,
        marker={"color": ARM_COLORS[arm], "symbol": ARM_SYMBOLS[arm], "size": 9},
        line={"color": ARM_COLORS[arm], "dash": ARM_DASHES[arm], "width": 1.5},
        text=[_mean_text(point) for point in points],
        hovertemplate="%{text}<extra></extra>",
        legendgroup=arm,
    )


def _mean_text(point: MeanPoint) -> str:
    """What hovering over a seed mean says."""
    trials = "<br>".join(f"trial {plot_text(seed.trial_id)}, seed {seed.seed}: {seed.y:.5f}" for seed in point.seeds)
    spread = "one seed" if point.std is None else f"± {point.std:.2g} over {len(point.seeds)} seeds"
    return f"{point.arm}, scale {point.scale:g}×, {point.num_sets} sets<br>mean {point.mean:.5f} {spread}<br>{trials}"


def _draw_ceiling(drawn: go.Figure, bound: Ceiling | None) -> None:
    """The Bayes ceiling as a dashed line, or as a note below the figure where it is far away."""
    if bound is None:
        return
    if bound.in_range:
        drawn.add_hline(
            y=bound.value,
            line={"color": GREY, "dash": "dash", "width": 1.5},
            annotation={"text": f"Bayes ceiling {number(bound.value, 5)}", "font": {"size": 11}},
            annotation_position="top right" if bound.above else "bottom right",
        )
        return
    _note_below(drawn, f"{'↑' if bound.above else '↓'} Bayes ceiling {number(bound.value, 5)}, off the axis")


def _note_below(drawn: go.Figure, note: str) -> None:
    """A small line below the x axis."""
    title = drawn.layout.xaxis.title
    title.text = f'{title.text}<br><span style="font-size:11px">{note}</span>'


def cost_panel(results: StudyResults) -> Panel:
    """Quality against cost, one point per finished trial."""
    figures = tuple(cost_figure(cost_points(results, cost), cost) for cost in Cost)
    return Panel("cost", "Test AUC against cost: which family lies above the others?", (COST_CONTROL,), figures)


def cost_figure(points: list[CostPoint], cost: Cost) -> go.Figure:
    """Families by colour, SE filled and ME open."""
    if not points:
        return empty_figure(f"No finished trial knows its {cost.value} and test AUC.")
    by_model = grouped((point.model, point) for point in points)
    traces = [
        _cost_trace(position, model, arm, group)
        for position, (model, rows) in enumerate(by_model.items())
        for arm, group in grouped((row.arm, row) for row in rows).items()
    ]
    named: set[str] = set()
    for trace in traces:
        trace.showlegend = trace.legendgroup not in named
        named.add(trace.legendgroup)
    x_axis = size_axis(COST_TITLES[cost], [point.cost for point in points])
    return figure(traces, x_axis, titled(METRIC_TITLES[Metric.AUC], tickformat=".4~f", nticks=7))


def _cost_trace(position: int, model: Model, arm: str, points: list[CostPoint]) -> go.Scatter:
    """The trials of one family and arm."""
    color = series_color(position)
    title = plot_text(model_title(model))
    return go.Scatter(
        name=title,
        legendgroup=str(position),
        x=np.array([point.cost for point in points]),
        y=np.array([point.test_auc for point in points]),
        mode="markers",
        marker={
            "color": color,
            "symbol": series_symbol(position, arm),
            "size": 9,
            "line": {"width": 0 if arm == "SE" else 2, "color": color},
        },
        text=[f"trial {plot_text(p.trial_id)}, seed {p.seed}, scale {p.scale:g}×" for p in points],
        hovertemplate=f"{title} {arm}<br>%{{text}}<br>%{{x:.4s}}: AUC %{{y:.5f}}<extra></extra>",
    )
