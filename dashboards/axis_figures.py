"""Figures of a study along one axis, drawn from the lines of `axis_tables`."""

from operator import attrgetter
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dashboards.axis_tables import Line, Spacing, StudyAxis, lines
from dashboards.figures import METRIC_CONTROL, METRIC_TITLES, model_title
from dashboards.page import Control, ControlKind, Panel, plot_text
from dashboards.results import StudyResults
from dashboards.style import (
    ARM_DASHES,
    GREY,
    LOG_FROM_RATIO,
    empty_figure,
    faded,
    figure,
    series_color,
    series_symbol,
    titled,
)
from dashboards.tables import Metric, Model, models, trials_of

READING_CONTROL = Control("reading", "Multi-embedding is read", ControlKind.BUTTONS, ("per set", "sets concatenated"))
READINGS = (
    ("ia_ratio_mean", "weighted_ia_ratio_mean"),
    ("ia_concat_ratio_mean", "weighted_ia_concat_ratio_mean"),
)
"""Columns of the two ways to count ids, in the order of READING_CONTROL's options."""
COUNTINGS = ("ids count once", "ids count by frequency")


def quality_panels(results: StudyResults, axis: StudyAxis) -> list[Panel]:
    """Quality against the axis, a panel per family."""
    return [
        Panel(
            name=f"quality-{position}",
            title=f"{model_title(model)}: does quality change with {axis.name} by more than the bars?",
            controls=(METRIC_CONTROL,),
            figures=tuple(_quality_figure(results, model, axis, metric) for metric in Metric),
        )
        for position, model in enumerate(models(results))
    ]


def _quality_figure(results: StudyResults, model: Model, axis: StudyAxis, metric: Metric) -> go.Figure:
    drawn = lines(trials_of(results, model), axis, attrgetter(metric.value))
    return line_figure(drawn, axis, titled(METRIC_TITLES[metric], tickformat=".4~f", nticks=7))


def abundance_pairs(results: StudyResults, axis: StudyAxis) -> list[list[Panel]]:
    """IA / K against the axis, per family two panels side by side: ids counted once, and by frequency."""
    pairs = []
    for position, model in enumerate(models(results)):
        figures = [_abundance_figures(results, model, axis, reading) for reading in READINGS]
        pairs.append(
            [
                Panel(
                    f"abundance-{position}-{place}",
                    f"{model_title(model)}, {counting}: does IA / K change with {axis.name}?",
                    (READING_CONTROL,),
                    drawn,
                )
                for place, (counting, drawn) in enumerate(zip(COUNTINGS, zip(*figures, strict=True), strict=True))
            ]
        )
    return pairs


def _abundance_figures(
    results: StudyResults, model: Model, axis: StudyAxis, reading: tuple[str, str]
) -> tuple[go.Figure, ...]:
    """Both countings on the same y axis, so that they compare."""
    tables = [lines(trials_of(results, model), axis, attrgetter(column)) for column in reading]
    tops = [point.mean + (point.std or 0.0) for table in tables for line in table for point in line.points]
    y_axis = titled("IA / K, mean over fields", range=[0, 1.05 * max(tops, default=1.0)])
    return tuple(line_figure(table, axis, y_axis) for table in tables)


def line_figure(table: list[Line], axis: StudyAxis, y_axis: dict[str, Any]) -> go.Figure:
    """Every line with the spread over seeds: colours and markers tell scales, dashes and open markers arms."""
    if not table:
        return empty_figure(f"No finished trial has a place on the axis {plot_text(axis.name)}.")
    named: set[str] = set()
    traces = []
    for line in table:
        traces += [_seed_trace(line), _mean_trace(line, line.label not in named)]
        named.add(line.label)
    return figure(traces, _x_axis(axis, table), y_axis)


def line_color(line: Line) -> str:
    """The colour of a line."""
    return series_color(line.color)


def _mean_trace(line: Line, first: bool) -> go.Scatter:
    """Means over seeds, and one standard deviation."""
    color = line_color(line)
    return go.Scatter(
        name=plot_text(line.label),
        legendgroup=line.label,
        showlegend=first,
        x=_x_values(line, [1] * len(line.points)),
        y=np.array([point.mean for point in line.points]),
        error_y={"type": "data", "array": [point.std or 0.0 for point in line.points], "thickness": 1.2, "width": 4},
        mode="lines+markers",
        line={"color": color, "width": 2, "dash": ARM_DASHES[line.arm]},
        marker={"color": color, "symbol": series_symbol(line.color, line.arm), "size": 8},
        text=[_hover(line, position) for position in range(len(line.points))],
        hovertemplate="%{text}<extra></extra>",
    )


def _seed_trace(line: Line) -> go.Scatter:
    """Every trial as a faint dot."""
    trials = [trial for point in line.points for trial in point.trials]
    return go.Scatter(
        legendgroup=line.label,
        showlegend=False,
        x=_x_values(line, [len(point.trials) for point in line.points]),
        y=np.array([trial.value for trial in trials]),
        mode="markers",
        marker={"color": faded(line_color(line), 0.4), "symbol": series_symbol(line.color, line.arm), "size": 5},
        text=[f"trial {plot_text(trial.trial_id)}: {trial.value:.5f}" for trial in trials],
        hovertemplate=f"{plot_text(line.label)}<br>%{{text}}<extra></extra>",
    )


def _x_values(line: Line, repeats: list[int]) -> Any:
    """Numbers; or names of categories, under their group where there is one."""
    places = [point.place for point, times in zip(line.points, repeats, strict=True) for _ in range(times)]
    if line.group:
        groups = [plot_text(place.group).replace("_", "<br>") for place in places]
        return [groups, [plot_text(place.label) for place in places]]
    return np.array([place.x for place in places])


def _hover(line: Line, position: int) -> str:
    """What hovering over a mean says."""
    point = line.points[position]
    spread = "one seed" if point.std is None else f"± {point.std:.2g} over {len(point.trials)} seeds"
    trials = "<br>".join(f"trial {plot_text(trial.trial_id)}: {trial.value:.5f}" for trial in point.trials)
    where = f"{plot_text(point.place.group)} {plot_text(point.place.label)}".strip()
    return f"{plot_text(line.label)}<br>{where}: {point.mean:.5f} {spread}<br>{trials}"


def _x_axis(axis: StudyAxis, table: list[Line]) -> dict[str, Any]:
    """A tick at every place; logarithmic where the axis says so and its values span enough."""
    places = sorted({point.place for line in table for point in line.points})
    if any(place.group for place in places):
        return titled(plot_text(axis.title), type="multicategory", dividercolor=GREY, tickangle=-90)
    ticks, words = [place.x for place in places], [plot_text(place.label) for place in places]
    wide = ticks[0] > 0 and ticks[-1] >= LOG_FROM_RATIO * ticks[0]
    kind = "log" if axis.spacing is Spacing.LOG and wide else "linear"
    return titled(plot_text(axis.title), type=kind, tickvals=ticks, ticktext=words)
