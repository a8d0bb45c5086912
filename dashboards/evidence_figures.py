"""Figures of the collapse page: abundance over scales and along training, heat-maps, lines that compare labels."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from dashboards.collapse_figures import LONGEST_TICK, MOST_FIELD_TICKS, WEIGHTING_CONTROL
from dashboards.collapse_results import CollapseResults, Look, labels_of
from dashboards.evidence_tables import (
    HeatMap,
    Line,
    PathPoint,
    along_training,
    block_choices,
    heat_map,
    looks_at,
    over_scales,
    shown,
)
from dashboards.page import Control, ControlKind, Panel, plot_text
from dashboards.style import (
    ARM_DASHES,
    BLUE,
    GREY,
    VERMILLION,
    empty_figure,
    figure,
    scale_axis,
    series_color,
    series_symbol,
    titled,
)
from dashboards.tables import MeanPoint

ABUNDANCE = {
    "ia_ratio_mean": "IA / K, mean over fields",
    "weighted_ia_ratio_mean": "IA / K by frequency, mean over fields",
}
"""Columns of looks and trials by how ids count, and their axes' titles."""
EPOCHS = "passes over the train split"


def blocks_control(results: CollapseResults) -> Control:
    """The dropdown of models and sets that have sub-embeddings."""
    titles = tuple(
        f"{c.label}, scale {c.scale:g}×" + (f", set {c.set_index + 1} of {c.num_sets}" if c.num_sets > 1 else "")
        for c in block_choices(results)
    )
    return Control("blocks", "Family, scale and set", ControlKind.DROPDOWN, titles)


def trained_panels(results: CollapseResults) -> list[Panel]:
    """IA / K against scale, before training and of the best weights, a panel per label."""
    return [
        Panel(
            name=f"trained-{position}",
            title=f"{label}: does training lower IA / K?",
            controls=(WEIGHTING_CONTROL,),
            figures=tuple(_trained_figure(results, label, column) for column in ABUNDANCE),
        )
        for position, label in enumerate(labels_of(results))
    ]


def _trained_figure(results: CollapseResults, label: str, column: str) -> go.Figure:
    before, after = (over_scales(looks_at(results, moment), [label], column) for moment in ("initial", "best"))
    traces = [line_trace(line, f"{line.arm} trained", _arm_color(line.arm)) for line in after]
    for line in before:
        trace = line_trace(line, f"{line.arm} before training", GREY)
        trace.marker.symbol = f"{trace.marker.symbol}-open"
        traces.append(trace)
    return _over_scales(traces, before + after, titled(ABUNDANCE[column], rangemode="tozero"))


def training_panels(results: CollapseResults) -> list[Panel]:
    """IA / K along training, a line per trial, a panel per label."""
    return [
        Panel(
            name=f"training-{position}",
            title=f"{label}: when does IA / K fall?",
            controls=(WEIGHTING_CONTROL,),
            figures=tuple(_training_figure(results, label, column) for column in ABUNDANCE),
        )
        for position, label in enumerate(labels_of(results))
    ]


def _training_figure(results: CollapseResults, label: str, column: str) -> go.Figure:
    runs = along_training(results, label)
    if not runs:
        return empty_figure("No trial of this family has finished.")
    scales = sorted({looks[0].scale for looks in runs.values()})
    traces = [_run_trace(looks, column, scales.index(looks[0].scale)) for looks in runs.values()]
    _name_once(traces)
    return figure(traces, titled(EPOCHS, rangemode="tozero"), titled(ABUNDANCE[column], rangemode="tozero"))


def _run_trace(looks: list[Look], column: str, series: int) -> go.Scatter:
    """One trial's looks; its best one is filled."""
    first, color = looks[0], series_color(series)
    name = f"{first.arm} {first.scale:g}×"
    return go.Scatter(
        name=name,
        legendgroup=f"{name} {first.num_sets}",
        x=np.array([look.epoch for look in looks], dtype=np.float32),
        y=np.array([getattr(look, column) for look in looks], dtype=np.float32),
        mode="lines+markers",
        line={"color": color, "dash": ARM_DASHES[first.arm], "width": 1.5},
        marker={"color": color, "size": 7, "symbol": [_look_symbol(look, series) for look in looks]},
        text=[_look_text(look) for look in looks],
        hovertemplate="%{text}<br>%{x:.3g} passes: %{y:.4f}<extra></extra>",
    )


def _look_symbol(look: Look, series: int) -> str:
    return series_symbol(series) + ("" if look.moment == "best" else "-open")


def _look_text(look: Look) -> str:
    sets = f"{look.num_sets} sets" if look.num_sets > 1 else "1 set"
    return f"trial {plot_text(look.trial_id)}, seed {look.seed}, scale {look.scale:g}×, {sets}, {look.moment}"


def heat_panels(results: CollapseResults) -> list[Panel]:
    """The heat-map and its marginals, for the model and set that the dropdown names."""
    maps = [heat_map(results, choice) for choice in block_choices(results)]
    control = blocks_control(results)
    return [
        Panel(
            "heat",
            "IA of what field i shows to field j: brighter up and right?",
            (control,),
            tuple(map(heat_figure, maps)),
        ),
        Panel(
            "marginals", "Means over rows and columns: do they rise?", (control,), tuple(map(marginals_figure, maps))
        ),
    ]


def heat_figure(table: HeatMap) -> go.Figure:
    """IA(E_i^{->j}), fields in order of IA(E_i) on both axes; a gap where nothing is shown."""
    names = [plot_text(field) for field in table.fields]
    trace = go.Heatmap(
        x=names,
        y=names,
        z=np.array(table.values, dtype=np.float32),
        colorscale="Viridis",
        colorbar={"title": {"text": "IA"}, "thickness": 12, "len": 1, "xpad": 4},
        hovertemplate=f"field %{{y}} to %{{x}}: IA %{{z:.3f}}<br>trial {plot_text(table.trial_id)}<extra></extra>",
    )
    shown = names[:: _every(names)]
    ticks = {
        "tickvals": shown,
        "ticktext": [_short(name) for name in shown],
        "type": "category",
        "tickfont": {"size": 10},
    }
    x_axis = titled("field j it is shown to, by IA(Eⱼ)", tickangle=-60, **ticks)
    drawn = figure([], x_axis, titled("field i whose table it is, by IA(Eᵢ)", **ticks))
    drawn.add_trace(trace)
    return drawn


def marginals_figure(table: HeatMap) -> go.Figure:
    """Means over j by i and over i by j, with IA(E_i) itself."""
    rows = (
        ("shown by the field (mean over j)", table.along_i(), BLUE, "solid"),
        ("shown to the field (mean over i)", table.along_j(), VERMILLION, "dash"),
        ("the field's own table, IA(Eᵢ)", list(table.own), GREY, "dot"),
    )
    places = list(range(len(table.fields)))
    traces = [
        go.Scatter(
            name=name,
            x=np.array(places, dtype=np.uint16),
            y=np.array(values, dtype=np.float32),
            mode="lines+markers",
            line={"color": color, "dash": dash, "width": 2},
            marker={"size": 6},
            text=[plot_text(field) for field in table.fields],
            hovertemplate=f"%{{text}}<br>{name}: IA %{{y:.3f}}<br>trial {plot_text(table.trial_id)}<extra></extra>",
        )
        for name, values, color, dash in rows
    ]
    step = _every(places)
    ticks = [_short(plot_text(field)) for field in table.fields[::step]]
    x_axis = titled("field, by IA(Eᵢ)", tickvals=places[::step], ticktext=ticks, tickangle=-60, tickfont={"size": 10})
    return figure(traces, x_axis, titled("information abundance, mean"))


def shown_panel(results: CollapseResults, labels: list[str]) -> Panel:
    """Abundance of what single-embedding fields show to each other, a line per label."""
    lines = over_scales((row for row in shown(results) if row.arm == "SE"), labels, "ia_ratio_mean")
    drawn = comparison_figure(lines, titled("IA(Eᵢ→ⱼ) over its bound, mean", rangemode="tozero"), label_colors(labels))
    return Panel("regularizer-shown", "IA of what fields show against scale: does it rise?", (), (drawn,))


def comparison_figure(lines: list[Line], y_axis: dict[str, object], colors: dict[str, str]) -> go.Figure:
    """A line per label and arm against scale."""
    if not lines:
        return empty_figure("No finished trial of these families.")
    traces = [line_trace(line, f"{line.label} {line.arm}", colors[line.label]) for line in lines]
    for trace, line in zip(traces, lines, strict=True):
        trace.marker.symbol = _label_symbol(line.label, line.arm, colors)
    return _over_scales(traces, lines, y_axis)


def label_colors(labels: list[str]) -> dict[str, str]:
    """A colour per label, in turn."""
    return {label: series_color(position) for position, label in enumerate(labels)}


def _label_symbol(label: str, arm: str, colors: dict[str, str]) -> str:
    """The marker of a label, by its place among the colours."""
    return series_symbol(list(colors).index(label), arm)


def path_figure(
    paths: dict[tuple[str, str], list[PathPoint]], colors: dict[str, str], titles: tuple[str, str]
) -> go.Figure:
    """Two qualities against each other, a path over scales per label and arm."""
    traces = [
        go.Scatter(
            name=plot_text(f"{label} {arm}"),
            x=np.array([point.x for point in points]),
            y=np.array([point.y for point in points]),
            mode="lines+markers+text",
            line={"color": colors[label], "dash": ARM_DASHES[arm], "width": 1.5},
            marker={"color": colors[label], "symbol": _label_symbol(label, arm, colors), "size": 8},
            text=[f"{point.scale:g}×" for point in points],
            textposition="bottom center" if place % 2 else "top center",
            customdata=[", ".join(map(plot_text, point.trial_ids)) for point in points],
            hovertemplate=f"{plot_text(label)} {arm}, scale %{{text}}<br>%{{x:.4f}}: %{{y:.5f}}"
            "<br>trials %{customdata}<extra></extra>",
        )
        for place, ((label, arm), points) in enumerate(paths.items())
        if points
    ]
    if not traces:
        return empty_figure("No finished trial of these families.")
    return figure(traces, titled(titles[0]), titled(titles[1], tickformat=".4~f", nticks=7))


def loss_figure(runs: list[list[Look]], colors: dict[str, str]) -> go.Figure:
    """Valid AUC against train loss, a path of looks per trial; training runs to the left."""
    traces = []
    for looks in runs:
        seen = [look for look in looks if look.train_loss is not None]
        trace = _run_trace(seen or looks, "valid_auc", list(colors).index(looks[0].family))
        trace.x = np.array([look.train_loss for look in seen], dtype=np.float32)
        trace.name = plot_text(f"{looks[0].family} {looks[0].arm}")
        trace.legendgroup = trace.name
        trace.hovertemplate = "%{text}<br>train loss %{x:.4f}, valid AUC %{y:.5f}<extra></extra>"
        traces.append(trace)
    if not traces:
        return empty_figure("No looks of these trials.")
    _name_once(traces)
    return figure(
        traces,
        titled("train loss (nats), axis reversed", autorange="reversed", nticks=6),
        titled("valid AUC", tickformat=".4~f", nticks=7),
    )


def line_trace(line: Line, name: str, color: str) -> go.Scatter:
    """Seed means of one label and arm against scale, with the spread over seeds."""
    return go.Scatter(
        name=plot_text(name),
        x=np.array([point.scale for point in line.points]),
        y=np.array([point.mean for point in line.points]),
        error_y={"type": "data", "array": [point.std or 0.0 for point in line.points], "thickness": 1.2, "width": 4},
        mode="lines+markers",
        line={"color": color, "dash": ARM_DASHES[line.arm], "width": 2},
        marker={"symbol": "circle" if line.arm == "SE" else "diamond", "size": 8},
        text=[_point_text(point) for point in line.points],
        hovertemplate=f"{plot_text(name)}<br>%{{text}}<br>%{{y:.5f}}<extra></extra>",
    )


def _point_text(point: MeanPoint) -> str:
    ids = ", ".join(plot_text(seed.trial_id) for seed in point.seeds)
    spread = "one seed" if point.std is None else f"± {point.std:.2g} over {len(point.seeds)} seeds"
    return f"scale {point.scale:g}×, {point.num_sets} sets, {spread}<br>trials {ids}"


def _over_scales(traces: list[go.Scatter], lines: list[Line], y_axis: dict[str, object]) -> go.Figure:
    if not traces:
        return empty_figure("No trial of this family has finished.")
    return figure(traces, scale_axis(point.scale for line in lines for point in line.points), y_axis)


def _name_once(traces: list[go.Scatter]) -> None:
    """Keeps the first trace of every group in the legend."""
    named: set[str] = set()
    for trace in traces:
        trace.showlegend = trace.legendgroup not in named
        named.add(trace.legendgroup)


def _arm_color(arm: str) -> str:
    return BLUE if arm == "SE" else VERMILLION


def _every(values: Sequence[object]) -> int:
    """Ticks are this far apart."""
    return max(1, -(-len(values) // MOST_FIELD_TICKS))


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_TICK else f"{name[: LONGEST_TICK - 1]}…"
