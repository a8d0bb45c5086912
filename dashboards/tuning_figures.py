"""The figures of the tuning page, drawn from the rows of `tuning_tables`."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dashboards.figures import METRIC_CONTROL, METRIC_TITLES, model_title
from dashboards.page import Control, ControlKind, Panel, plot_text
from dashboards.style import (
    ARM_COLORS,
    ARM_DASHES,
    ARM_SYMBOLS,
    LOG_FROM_RATIO,
    empty_figure,
    figure,
    log_ticks,
    scale_axis,
    series_color,
    series_symbol,
    titled,
)
from dashboards.tables import Metric, Model, grouped
from dashboards.tuning_tables import Sample, Setting, Shown, TuningResults, group_curves, tuned_models
from recscale.curves.curve import Curve
from recscale.records import Tuning

SETTING_TITLES = {
    Setting.LEARNING_RATE: "learning rate",
    Setting.WEIGHT_DECAY: "weight decay",
    Setting.DROPOUT: "dropout",
}
SETTING_CONTROL = Control("setting", "Setting", ControlKind.BUTTONS, tuple(SETTING_TITLES.values()))
RANGE_CONTROL = Control("range", "Valid AUC", ControlKind.BUTTONS, ("near the winners", "all samples"))
GROUP_DASHES = {Tuning.UNTUNED: "dot", Tuning.TUNED: "solid"}
GROUP_SUFFIXES = {Tuning.UNTUNED: "-open", Tuning.TUNED: ""}
LOSER_SYMBOLS = {"finished": "circle", "stopped": "circle-open"}
WINNER_SYMBOL = "star"


def curve_panels(results: TuningResults) -> list[Panel]:
    """Test quality against scale, one panel per family and variant."""
    return [
        Panel(
            name=f"tuned-{position}",
            title=f"{model_title(model)}: does a rise or fall survive tuning?",
            controls=(METRIC_CONTROL,),
            figures=tuple(curve_figure(results, model, metric) for metric in Metric),
        )
        for position, model in enumerate(tuned_models(results))
    ]


def curve_figure(results: TuningResults, model: Model, metric: Metric) -> go.Figure:
    """Both arms, tuned (solid, filled) and untuned (dotted, open): means and spread over seeds."""
    curves = group_curves(results.study, model, metric)
    if not curves:
        return empty_figure("No curve of this metric has been fitted.")
    order = sorted(curves, key=lambda key: (not key[0].startswith("SE"), key[0], list(Tuning).index(key[1])))
    traces = [_curve_trace(arm, group, curves[arm, group]) for arm, group in order]
    scales = [point.scale for curve in curves.values() for point in curve.points]
    return figure(traces, scale_axis(scales), titled(METRIC_TITLES[metric], tickformat=".4~f", nticks=7))


def _curve_trace(arm: str, group: Tuning, curve: Curve) -> go.Scatter:
    """Means and spread over seeds; each number of sets of ME has the colour of ME."""
    kind = arm[:2]
    color = ARM_COLORS[kind]
    spreads = ["one seed" if p.std is None else f"± {p.std:.2g} over {p.seeds} seeds" for p in curve.points]
    return go.Scatter(
        name=f"{arm} {group}",
        x=np.array([point.x for point in curve.points]),
        y=np.array([point.mean for point in curve.points]),
        error_y={"type": "data", "array": [point.std or 0.0 for point in curve.points], "thickness": 1.2, "width": 4},
        mode="lines+markers",
        line={"color": color, "dash": GROUP_DASHES[group], "width": 2},
        marker={
            "color": color,
            "symbol": ARM_SYMBOLS[kind] + GROUP_SUFFIXES[group],
            "size": 9,
            "line": {"width": 2, "color": color},
        },
        text=[
            f"{spread}<br>trials {', '.join(plot_text(each) for each in point.trial_ids)}"
            for spread, point in zip(spreads, curve.points, strict=True)
        ],
        hovertemplate=f"{arm} {group}, scale %{{x:g}}×: %{{y:.5f}}<br>%{{text}}<extra></extra>",
    )


def winners_panel(results: TuningResults) -> Panel:
    """The chosen value of each setting against scale."""
    winners = [sample for sample in results.samples if sample.winner]
    figures = tuple(winners_figure(winners, setting) for setting in Setting)
    return Panel(
        "winners", "What the search chose: does the best setting move with scale?", (SETTING_CONTROL,), figures
    )


def winners_figure(winners: Sequence[Sample], setting: Setting) -> go.Figure:
    """A line per family and arm; single-embedding filled and solid, multi-embedding open and dashed."""
    if not winners:
        return empty_figure("No cell has a winner.")
    places = {model: place for place, model in enumerate(dict.fromkeys(each.model for each in winners))}
    by_line = grouped(((each.model, each.arm), each) for each in winners)
    traces = []
    for (model, arm), line in by_line.items():
        ordered = sorted(line, key=lambda each: (each.scale, each.num_sets))
        traces.append(
            go.Scatter(
                name=f"{plot_text(model_title(model))} {arm}",
                x=np.array([each.scale for each in ordered]),
                y=np.array([getattr(each, setting.value) for each in ordered]),
                mode="lines+markers",
                line={"color": series_color(places[model]), "dash": ARM_DASHES[arm], "width": 1.5},
                marker={"color": series_color(places[model]), "symbol": series_symbol(places[model], arm), "size": 9},
                text=[_sample_text(each) for each in ordered],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    return figure(traces, scale_axis(each.scale for each in winners), _setting_axis(setting, winners))


def sample_panels(results: TuningResults) -> list[Panel]:
    """Valid AUC against each setting, one panel per family and variant."""
    return [
        Panel(
            name=f"samples-{position}",
            title=f"{model_title(model)}: do winners (stars) sit at the end of a range?",
            controls=(SETTING_CONTROL, RANGE_CONTROL),
            figures=tuple(
                samples_figure([each for each in results.samples if each.model == model], setting, shown)
                for setting, shown in product(Setting, Shown)
            ),
        )
        for position, model in enumerate(tuned_models(results))
    ]


def samples_figure(samples: Sequence[Sample], setting: Setting, shown: Shown) -> go.Figure:
    """A colour per cell; the winner is a star, stopped samples are open; samples without a valid AUC are not drawn."""
    drawn = [sample for sample in samples if sample.valid_auc is not None]
    if not drawn:
        return empty_figure("No sample has a valid AUC.")
    by_cell = grouped((sample.cell, sample) for sample in drawn)
    traces = [_cell_trace(place, cell, setting) for place, cell in enumerate(by_cell.values())]
    y_axis = titled("best valid AUC", tickformat=".4~f", nticks=7)
    if shown is Shown.NEAR_WINNERS:
        y_axis |= near_winners(drawn)
    return figure(traces, _setting_axis(setting, drawn), y_axis)


def near_winners(samples: Sequence[Sample]) -> dict[str, Any]:
    """The range around the winners and the untuned samples, below which many a sample of a wide search lies."""
    judged = [sample.valid_auc for sample in samples if sample.valid_auc and (sample.winner or sample.sample == 0)]
    low, high = min(judged, default=0.0), max(judged, default=0.0)
    return {"range": [low - 2 * (high - low), high + 0.5 * (high - low)]} if low < high else {}


def _cell_trace(place: int, unordered: list[Sample], setting: Setting) -> go.Scatter:
    """One cell's samples, the winner last and so on top of the others."""
    samples = sorted(unordered, key=lambda each: each.winner)
    return go.Scatter(
        name=plot_text(samples[0].place),
        x=np.array([getattr(each, setting.value) for each in samples]),
        y=np.array([each.valid_auc for each in samples]),
        mode="markers",
        marker={
            "color": series_color(place),
            "symbol": [WINNER_SYMBOL if each.winner else LOSER_SYMBOLS.get(each.ending, "x") for each in samples],
            "size": [15 if each.winner else 8 for each in samples],
            "line": {"width": 1.5, "color": series_color(place)},
        },
        text=[_sample_text(each) for each in samples],
        hovertemplate="%{text}<extra></extra>",
    )


def _sample_text(sample: Sample) -> str:
    values = "<br>".join(f"{title} {getattr(sample, each.value):.3g}" for each, title in SETTING_TITLES.items())
    auc = "no valid AUC" if sample.valid_auc is None else f"valid AUC {sample.valid_auc:.5f}"
    return f"{plot_text(sample.family)} {sample.place}, sample {sample.sample}, {sample.ending}<br>{auc}<br>{values}"


def _setting_axis(setting: Setting, samples: Sequence[Sample]) -> dict[str, Any]:
    """Logarithmic for what is searched by its order of magnitude, where the values span enough."""
    title, values = SETTING_TITLES[setting], [getattr(sample, setting.value) for sample in samples]
    low, high = min(values), max(values)
    if setting is Setting.DROPOUT or low <= 0:
        return titled(title, rangemode="tozero")
    if high < LOG_FROM_RATIO * low:
        return titled(title, tickformat=".3~g", nticks=6)
    ticks = log_ticks(low, high)
    return titled(title, type="log", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
