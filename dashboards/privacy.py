"""The privacy section of a page: how much of its training rows a model gives away by its losses."""

import numpy as np
import plotly.graph_objects as go

from dashboards.axis_figures import line_figure
from dashboards.axis_tables import SCALE, StudyAxis
from dashboards.figures import model_title
from dashboards.page import Control, ControlKind, Panel, controls_html, panels_html, plot_text, section_html, text
from dashboards.privacy_tables import (
    NOISES,
    DetectionLine,
    Leak,
    absent_trials,
    configurations,
    detection_lines,
    leak_lines,
    shade,
    strongest,
)
from dashboards.results import StudyResults
from dashboards.style import (
    ARM_DASHES,
    GREY,
    empty_figure,
    faded,
    figure,
    series_color,
    series_symbol,
    titled,
)
from dashboards.tables import Model, models

LEAK_CONTROL = Control("leak", "Measure", ControlKind.BUTTONS, ("all rows", "within one label", "gap of mean losses"))
LEAK_TITLES = {
    Leak.ALL_ROWS: "attack AUC, all rows",
    Leak.WITHIN_LABEL: "attack AUC, within one label",
    Leak.LOSS_GAP: "test loss − train loss (nats)",
}
INTRODUCTION = (
    "An attacker who sees a model's loss on a row guesses that the row was trained on where the loss is small (Yeom et "
    "al. 2018). The attack's AUC is the chance that a row trained on has a smaller loss than a test row: 0.5 gives "
    "nothing away. “Within one label” compares positives with positives and negatives with negatives, so that a base "
    "rate that differs between the splits does not pose as membership; it is often the sharper of the two, since rows "
    "of the rarer label have large losses whether trained on or not."
)
HOW_LEAK = (
    "Higher means that the model gives away more of its training rows. A model that gives nothing away lies in the "
    "grey band, {noises:g} standard deviations of the sampling of rows to either side. Trials on the same data are "
    "attacked on the same rows, so they leave the band together where the sample is to blame; only differences wider "
    "than the error bars tell configurations apart."
)
HOW_DETECTION = (
    "The owner of a collection of rows asks whether it was trained on: a one-sided Welch t test of its losses against "
    "as many test rows (as in dataset inference, Maini et al. 2021). Drawn is the share of collections detected at "
    "level 0.05, which is 0.05 by chance (grey). A row alone may be safe where a few hundred of them are not. Bars are "
    "one standard deviation over seeds."
)


def section(results: StudyResults, axis: StudyAxis = SCALE) -> tuple[str, list[Panel]]:
    """The section and its panels; nothing where the study was not asked for it."""
    if results.privacy is None:
        return "", []
    found = strongest(results, axis)
    if found is None:
        return section_html("Privacy", f"<p>{text(_coverage(results))}</p>"), []
    leaks = [_leak_panel(results, model, axis, position) for position, model in enumerate(models(results))]
    detections = _detection_panels(results, axis)
    words = " ".join([_strongest_words(results, axis), results.privacy[0].split_note, _coverage(results)])
    body = f'<p class="how">{text(INTRODUCTION)}</p><p>{text(words)}</p>'
    body += controls_html((LEAK_CONTROL,)) + panels_html(leaks, HOW_LEAK.format(noises=NOISES))
    body += controls_html(detections[0].controls) + panels_html(detections, HOW_DETECTION)
    return section_html("Privacy", body), [*leaks, *detections]


def _strongest_words(results: StudyResults, axis: StudyAxis) -> str:
    """Where the attack does best, in a sentence."""
    found = strongest(results, axis)
    assert found is not None
    low, high = 0.5 - NOISES * found.noise, 0.5 + NOISES * found.noise
    sentence = (
        f"The attack does best on {found.configuration}: AUC {found.attack_auc:.3f}, within one label "
        f"{found.within_label_auc:.3f}; a model that gives nothing away would lie between {low:.3f} and {high:.3f}"
    )
    if found.collection_rows is None or found.detected is None:
        return f"{sentence}; there are too few rows to draw collections from."
    return f"{sentence}; {found.detected:.0%} of collections of {found.collection_rows:,} rows are detected."


def _coverage(results: StudyResults) -> str:
    """How many finished trials are not part of it, and why."""
    absent = absent_trials(results)
    if not absent:
        return ""
    return (
        f"{absent} of {len(results.finished)} finished trials are not part of this: they kept no predictions on rows "
        f"trained on, or finished after this table was written; `recscale report STUDY --privacy` writes it again."
    )


def _leak_panel(results: StudyResults, model: Model, axis: StudyAxis, position: int) -> Panel:
    """One family's leak along the axis."""
    figures = tuple(_leak_figure(results, model, axis, leak) for leak in Leak)
    title = f"{model_title(model)}: does the attack rise above chance (grey)?"
    return Panel(f"privacy-{position}", title, (LEAK_CONTROL,), figures)


def _leak_figure(results: StudyResults, model: Model, axis: StudyAxis, leak: Leak) -> go.Figure:
    table = leak_lines(results, model, axis, leak)
    drawn = line_figure(table, axis, titled(LEAK_TITLES[leak], tickformat=".4~f", nticks=7))
    half = shade(results, leak)
    if table:
        drawn.add_hline(y=0.0 if half is None else 0.5, line={"color": GREY, "dash": "dash", "width": 1.2})
    if table and half is not None:
        drawn.add_hrect(y0=0.5 - half, y1=0.5 + half, fillcolor=faded(GREY, 0.18), line_width=0, layer="below")
    return drawn


def _detection_panels(results: StudyResults, axis: StudyAxis) -> list[Panel]:
    """Detection against the size of a collection, for the configuration that the dropdown names."""
    names = configurations(results, axis)
    control = Control("detected", "Configuration", ControlKind.DROPDOWN, tuple(names))
    panels = []
    for position, model in enumerate(models(results)):
        table = detection_lines(results, model, axis)
        figures = tuple(
            detection_figure([line for line in table if line.configuration == name and line.rows], axis)
            for name in names
        )
        title = f"{model_title(model)}: from how many rows on is a collection detected?"
        panels.append(Panel(f"detected-{position}", title, (control,), figures))
    return panels


def detection_figure(table: list[DetectionLine], axis: StudyAxis) -> go.Figure:
    """A line per place of the axis, and what chance detects."""
    if not table:
        return empty_figure("No trial of this configuration was attacked by collections.")
    traces = [_detection_trace(line, axis) for line in table]
    sizes = sorted({rows for line in table for rows in line.rows})
    x_axis = titled("rows of a collection", type="log", tickvals=sizes, ticktext=[f"{size:,}" for size in sizes])
    drawn = figure(traces, x_axis, titled("share detected at level 0.05", range=[-0.02, 1.05]))
    drawn.add_hline(y=0.05, line={"color": GREY, "dash": "dash", "width": 1.2})
    return drawn


def _detection_trace(line: DetectionLine, axis: StudyAxis) -> go.Scatter:
    color = series_color(line.color)
    name = plot_text(f"{axis.name} {line.place}")
    trials = "trials " + "<br>".join(map(plot_text, line.trial_ids))
    return go.Scatter(
        name=name,
        x=np.array(line.rows),
        y=np.array(line.mean),
        error_y={"type": "data", "array": list(line.std), "thickness": 1.2, "width": 4},
        mode="lines+markers",
        line={"color": color, "width": 2, "dash": ARM_DASHES[line.arm]},
        marker={"color": color, "symbol": series_symbol(line.color, line.arm), "size": 8},
        text=trials,
        hovertemplate=f"{name}<br>%{{x}} rows: %{{y:.3f}} detected<br>{trials}<extra></extra>",
    )
