"""Collapse figures, drawn from the rows of `collapse_tables`."""

import math
from itertools import product

import numpy as np
import plotly.graph_objects as go

from dashboards.collapse_tables import (
    AbundancePoints,
    FieldAbundance,
    FieldSpectrum,
    Series,
    Weighting,
    abundance_against_scale,
    choices,
    diversity_against_scale,
    field_abundance,
    field_spectra,
    median_spectrum,
    rows_of,
)
from dashboards.figures import model_title
from dashboards.page import Control, ControlKind, Panel, plot_text
from dashboards.results import SpectrumRow, StudyResults
from dashboards.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    VERMILLION,
    empty_figure,
    figure,
    scale_axis,
    series_color,
    series_symbol,
    titled,
)
from dashboards.tables import MeanPoint, grouped, models

SERIES_COLORS = {Series.SINGLE: BLUE, Series.PER_SET: VERMILLION, Series.CONCATENATED: GREEN}
SERIES_DASHES = {Series.SINGLE: "solid", Series.PER_SET: "dash", Series.CONCATENATED: "dot"}
SERIES_SYMBOLS = {Series.SINGLE: "circle", Series.PER_SET: "diamond", Series.CONCATENATED: "square"}
THIRD_COLORS = (ORANGE, GREEN, PURPLE)
THIRD_DASHES = ("dot", "dashdot", "solid")
MOST_FIELD_TICKS = 14
LONGEST_TICK = 16
DEEPEST_DECADE = -8.0
"""Singular values below 1e-8 of the largest are rounding and stay below the axis."""
WEIGHTING_CONTROL = Control(
    "weighting", "Ids count", ControlKind.BUTTONS, ("each once", "by their frequency in the train split")
)


def abundance_panels(results: StudyResults) -> list[Panel]:
    """IA / K against scale, one panel per family and variant."""
    return [
        Panel(
            name=f"abundance-{position}",
            title=f"{model_title(model)}: does IA / K fall with scale, and less for ME?",
            controls=(WEIGHTING_CONTROL,),
            figures=tuple(abundance_figure(abundance_against_scale(results, model, each)) for each in Weighting),
        )
        for position, model in enumerate(models(results))
    ]


def abundance_figure(table: list[AbundancePoints]) -> go.Figure:
    """The three readings of IA / K with the spread over seeds."""
    if not table:
        return empty_figure("No finished trial has this abundance.")
    traces = [
        _scale_trace(row.series, list(row.points), SERIES_COLORS[row.series], SERIES_SYMBOLS[row.series])
        for row in table
    ]
    for trace, row in zip(traces, table, strict=True):
        trace.line.dash = SERIES_DASHES[row.series]
    scales = [point.scale for row in table for point in row.points]
    return figure(traces, scale_axis(scales), titled("IA / K, mean over fields", rangemode="tozero"))


def _scale_trace(name: str, points: list[MeanPoint], color: str, symbol: str) -> go.Scatter:
    """Seed means against scale with the spread over seeds."""
    trials = [", ".join(plot_text(seed.trial_id) for seed in point.seeds) for point in points]
    return go.Scatter(
        name=name,
        x=np.array([point.scale for point in points]),
        y=np.array([point.mean for point in points]),
        error_y={"type": "data", "array": [point.std or 0.0 for point in points], "thickness": 1.2, "width": 4},
        mode="lines+markers",
        line={"color": color, "width": 2},
        marker={"symbol": symbol, "size": 8},
        text=[f"{point.num_sets} sets<br>trials {ids}" for point, ids in zip(points, trials, strict=True)],
        hovertemplate=f"{name}, scale %{{x:g}}×: %{{y:.4f}}<br>%{{text}}<extra></extra>",
    )


def diversity_panel(results: StudyResults) -> Panel:
    """Set diversity against scale, a line per family."""
    traces, scales = [], []
    for position, model in enumerate(models(results)):
        points = diversity_against_scale(results, model)
        if points:
            name = plot_text(model_title(model))
            traces.append(_scale_trace(name, points, series_color(position), series_symbol(position)))
            scales += [point.scale for point in points]
    drawn = figure(traces, scale_axis(scales), titled("set diversity (1 − cosine)", rangemode="tozero"))
    shown = drawn if traces else empty_figure("No trial has several sets.")
    return Panel("diversity", "Set diversity: are the sets more than copies (0) of each other?", (), (shown,))


def spectra_panels(results: StudyResults) -> list[Panel]:
    """Spectra of SE and of ME for the family and scale that the dropdown names."""
    rows_by_choice = [rows_of(results, choice, Weighting.UNIFORM) for choice in choices(results)]
    pairs = [spectra_pair(rows) for rows in rows_by_choice]
    titles = (
        "Spectra of single-embedding: which fields drop early?",
        "Spectra of multi-embedding, concatenated: do they drop later?",
    )
    return [
        Panel(name, title, (choice_control(results),), figures)
        for name, title, figures in zip(("spectra-se", "spectra-me"), titles, zip(*pairs, strict=True), strict=True)
    ]


def spectra_pair(rows: list[SpectrumRow]) -> tuple[go.Figure, go.Figure]:
    """SE and ME of one choice on the same y axis, so that their slopes compare."""
    tables = [(field_spectra(rows, arm, "best"), field_spectra(rows, arm, "initial")) for arm in ("SE", "ME")]
    lowest = min(value for table in tables for part in table for row in part for value in (*row.normalized, 1.0))
    single, multi = (spectra_figure(best, initial, lowest) for best, initial in tables)
    return single, multi


def fields_panel(results: StudyResults) -> Panel:
    """Abundance per field for the family and scale that the dropdown names."""
    figures = tuple(
        field_figure(field_abundance(rows_of(results, choice, weighting)))
        for choice, weighting in product(choices(results), Weighting)
    )
    return Panel(
        "fields",
        "IA / K per field: which filled markers lie below their open ones?",
        (choice_control(results), WEIGHTING_CONTROL),
        figures,
    )


def choice_control(results: StudyResults) -> Control:
    """The dropdown of families and scales that have spectra."""
    titles = tuple(f"{choice.family}, scale {choice.scale:g}×" for choice in choices(results))
    return Control("choice", "Family and scale", ControlKind.DROPDOWN, titles)


def spectra_figure(best: list[FieldSpectrum], initial: list[FieldSpectrum], lowest: float) -> go.Figure:
    """One line per field, coloured by thirds of the vocabulary sizes, and the median field before training."""
    if not best:
        return empty_figure("No spectra of this arm at this scale.")
    traces = []
    for group in grouped((spectrum.third, spectrum) for spectrum in best).values():
        sizes = [spectrum.vocabulary_size for spectrum in group]
        traces += [_spectrum_trace(s, f"{min(sizes):,}–{max(sizes):,} ids", i == 0) for i, s in enumerate(group)]
    start = median_spectrum(initial)
    if start:
        traces.append(_start_trace(start, sorted({each.trial_id for each in initial})))
    bottom = max(math.log10(lowest), DEEPEST_DECADE) - 0.1
    y_axis = titled("singular value / largest", type="log", exponentformat="power", dtick=1, range=[bottom, 0.1])
    return figure(traces, titled("index of the singular value", rangemode="tozero", nticks=8), y_axis)


def _spectrum_trace(spectrum: FieldSpectrum, name: str, first: bool) -> go.Scatter:
    """One field's spectrum; the first of its third stands for the third in the legend."""
    label = f"{plot_text(spectrum.field)}, {spectrum.vocabulary_size:,} ids<br>trial {plot_text(spectrum.trial_id)}"
    return go.Scatter(
        name=name,
        legendgroup=str(spectrum.third),
        showlegend=first,
        x=np.array(spectrum.index, dtype=np.uint16),
        y=np.array(spectrum.normalized, dtype=np.float32),
        mode="lines" if len(spectrum.index) > 1 else "markers",
        line={"color": THIRD_COLORS[spectrum.third], "dash": THIRD_DASHES[spectrum.third], "width": 1.3},
        hovertemplate=f"{label}<br>%{{x}}: %{{y:.3g}}<extra></extra>",
    )


def _start_trace(start: list[tuple[int, float]], trials: list[str]) -> go.Scatter:
    """The median field before training."""
    named = f"trial {', '.join(map(plot_text, trials))}"
    return go.Scatter(
        name="before training (median)",
        x=np.array([index for index, _ in start], dtype=np.uint16),
        y=np.array([value for _, value in start], dtype=np.float32),
        mode="lines",
        line={"color": GREY, "dash": "dash", "width": 2.5},
        text=named,
        hovertemplate=f"before training, median field<br>{named}<br>%{{x}}: %{{y:.3g}}<extra></extra>",
    )


def field_figure(table: list[FieldAbundance]) -> go.Figure:
    """IA / K of every field by reading, fields in order of vocabulary size, best weights filled, initial ones open."""
    if not table:
        return empty_figure("No spectra with this weighting.")
    traces = [
        _field_trace(series, moment, rows)
        for (series, moment), rows in grouped(((row.series, row.moment), row) for row in table).items()
    ]
    names = {row.rank: f"{row.field} · {row.vocabulary_size:,}" for row in table}
    ticks = sorted(names)[:: max(1, -(-len(names) // MOST_FIELD_TICKS))]
    x_axis = titled(
        "field · ids, smallest vocabulary first",
        tickvals=ticks,
        ticktext=[plot_text(_short(names[rank])) for rank in ticks],
        tickangle=-60,
        tickfont={"size": 10},
    )
    return figure(traces, x_axis, titled("IA / K", rangemode="tozero"))


def _short(name: str) -> str:
    """A name that fits under a tick: its beginning and its end."""
    half = LONGEST_TICK // 2
    return name if len(name) <= LONGEST_TICK else f"{name[:half]}…{name[-half:]}"


def _field_trace(series: Series, moment: str, rows: list[FieldAbundance]) -> go.Scatter:
    """One reading at one moment over the fields."""
    best = moment == "best"
    return go.Scatter(
        name=str(series),
        legendgroup=str(series),
        showlegend=best,
        x=np.array([row.rank for row in rows], dtype=np.uint16),
        y=np.array([row.ia_ratio for row in rows], dtype=np.float32),
        mode="markers",
        marker={
            "color": SERIES_COLORS[series],
            "symbol": SERIES_SYMBOLS[series] + ("" if best else "-open"),
            "size": 8 if best else 6,
            "opacity": 1 if best else 0.55,
        },
        text=[
            f"{plot_text(row.field)}, {row.vocabulary_size:,} ids<br>IA {row.information_abundance:.3g}, "
            f"trial {plot_text(row.trial_id)}"
            for row in rows
        ],
        hovertemplate=f"{series} {moment}<br>%{{text}}<br>IA / K %{{y:.3f}}<extra></extra>",
    )
