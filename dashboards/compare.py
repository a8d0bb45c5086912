"""The comparison page: two or more studies side by side, on the same axes, with the difference per shared cell."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import plotly.graph_objects as go

from dashboards.compare_tables import CellDifference, cell_differences, data_note, same_data, sentences
from dashboards.figures import AXIS_CONTROL, AXIS_TITLES, METRIC_CONTROL, METRIC_TITLES, model_title
from dashboards.page import (
    Page,
    Panel,
    controls_html,
    number,
    page_html,
    panels_html,
    plot_text,
    section_html,
    text,
    write_page_file,
)
from dashboards.results import StudyResults, load_results
from dashboards.style import (
    ARM_DASHES,
    GREY,
    empty_figure,
    figure,
    scale_axis,
    series_color,
    series_symbol,
    size_axis,
    titled,
)
from dashboards.tables import Axis, MeanPoint, Metric, Model, grouped, mean_points, models, trials_of
from recscale.curves.differences import Trend
from recscale.errors import ConfigError
from recscale.storage.location import Location

CURVES_HOW = (
    "Colours and marker shapes are studies, dashed lines with open markers multi-embedding. Look "
    "whether a study's curve lies above another's by more than the error bars (one standard deviation "
    "over seeds) at the same place of the axis."
)
DIFFERENCES_HOW = (
    "A bar that does not touch 0 is a difference beyond seed noise (90 % interval over seeds, each cell by itself: of "
    "ten cells without any difference one is expected to stand out). Markers of one scale are moved apart sideways."
)
APART = 1.1
"""Ratio of x between neighbouring markers of one scale."""
COLUMNS = ("family", "variant", "arm", "sets", "scale", "further", "study", "reference mean", "mean", "difference")
SHOWS = {
    Trend.RISES: "higher",
    Trend.FALLS: "lower",
    Trend.WITHIN_NOISE: "within seed noise",
    Trend.ONE_SEED: "too few seeds",
}
OTHER_DATA = dict.fromkeys(Trend, "other data")
"""Where another test split is scored, a difference shows nothing of the models."""
TEXT_COLUMNS = ("family", "variant", "arm", "further", "study", "interval", "shows")


def write_comparison(folders: Sequence[Location], path: Location) -> Location:
    """Reads the studies' tables and writes the page; ConfigError with fewer than two studies."""
    if len(folders) < 2:
        raise ConfigError(f"got {len(folders)} study, expected two or more to compare")
    return write_page_file(path, comparison_html([load_results(folder) for folder in folders]))


def comparison_html(studies: Sequence[StudyResults]) -> str:
    """The page as text; the first study is the reference."""
    return page_html(comparison_page(studies))


def comparison_page(studies: Sequence[StudyResults]) -> Page:
    """The whole page; the first study is the reference."""
    reference, *others = studies
    found = list(dict.fromkeys(model for study in studies for model in models(study)))
    curves = [curves_panel(studies, model, index) for index, model in enumerate(found)]
    differences = [differences_panel(reference, others, model, index) for index, model in enumerate(found)]
    verdict = "".join(f"<p>{text(line)}</p>" for line in sentences(reference, others))
    warning = "".join(f'<p class="bad">{text(note)}</p>' for note in filter(None, [data_note(studies)]))
    body = controls_html((AXIS_CONTROL, METRIC_CONTROL)) + panels_html(curves, CURVES_HOW)
    sections = [
        _header(studies),
        section_html("Verdict", f'{warning}<div class="card">{verdict}</div>'),
        section_html("Side by side", body),
        section_html("Differences", warning + panels_html(differences, DIFFERENCES_HOW)),
        section_html("Every shared cell", _table(reference, others)),
    ]
    return Page(" against ".join(study.name for study in studies), sections, [*curves, *differences])


def _header(studies: Sequence[StudyResults]) -> str:
    rows = []
    for position, study in enumerate(studies):
        known = dict(study.provenance)
        named = " · ".join(text(known[key]) for key in ("dataset", "created") if known.get(key))
        role = " (reference)" if position == 0 else ""
        count = f"{len(study.finished)} of {len(study.trials)} trials finished"
        rows.append(f"<li><b>{text(study.name)}</b>{role} · {named} · {count}</li>")
    return f"<header><h1>{text(' against '.join(s.name for s in studies))}</h1><ul>{''.join(rows)}</ul></header>"


def curves_panel(studies: Sequence[StudyResults], model: Model, index: int) -> Panel:
    """Seed means of every study on one pair of axes."""
    figures = tuple(curves_figure(studies, model, axis, metric) for axis, metric in product(Axis, Metric))
    title = f"{model_title(model)}: do the studies' curves lie apart by more than their bars?"
    return Panel(f"curves-{index}", title, (AXIS_CONTROL, METRIC_CONTROL), figures)


def curves_figure(studies: Sequence[StudyResults], model: Model, axis: Axis, metric: Metric) -> go.Figure:
    """One line per study and arm."""
    traces, x_values = [], []
    for position, study in enumerate(studies):
        points = mean_points(trials_of(study, model), axis.value, metric.value)
        for arm, group in grouped((point.arm, point) for point in points).items():
            traces.append(_line(study.name, arm, group, position))
        x_values += [point.x for point in points]
    if not traces:
        return empty_figure("No finished trial of this family.")
    x_axis = scale_axis(x_values) if axis is Axis.SCALE else size_axis(AXIS_TITLES[axis], x_values)
    return figure(traces, x_axis, titled(METRIC_TITLES[metric], tickformat=".4~f", nticks=7))


def _line(study: str, arm: str, points: list[MeanPoint], position: int) -> go.Scatter:
    trials = ["<br>".join(plot_text(seed.trial_id) for seed in point.seeds) for point in points]
    return go.Scatter(
        name=f"{plot_text(study)} {arm}",
        x=np.array([point.x for point in points]),
        y=np.array([point.mean for point in points]),
        error_y={"type": "data", "array": [point.std or 0.0 for point in points], "thickness": 1.2, "width": 4},
        mode="lines+markers",
        line={"color": series_color(position), "dash": ARM_DASHES[arm], "width": 2},
        marker={"symbol": series_symbol(position, arm), "size": 8},
        text=[
            f"scale {point.scale:g}×, {point.num_sets} sets<br>trials {ids}"
            for point, ids in zip(points, trials, strict=True)
        ],
        hovertemplate=f"{plot_text(study)} {arm}: %{{y:.5f}}<br>%{{text}}<extra></extra>",
    )


def differences_panel(reference: StudyResults, others: Sequence[StudyResults], model: Model, index: int) -> Panel:
    """Difference of every study to the reference, per cell of one family."""
    rows = [
        row for other in others for row in cell_differences(reference, other, Metric.AUC) if row.cell.model == model
    ]
    title = f"{model_title(model)}: which differences to {reference.name} stay clear of 0?"
    return Panel(f"differences-{index}", title, (), (differences_figure(rows, [other.name for other in others]),))


def differences_figure(rows: Sequence[CellDifference], studies: Sequence[str]) -> go.Figure:
    """One point per cell with its interval, against scale; studies look as they do beside the reference."""
    if not rows:
        return empty_figure("No cell of this family is finished in both studies.")
    by_line = grouped(((row.study, row.cell.arm), row) for row in rows)
    traces = [
        _difference_line(study, arm, group, studies.index(study) + 1, place - (len(by_line) - 1) / 2)
        for place, ((study, arm), group) in enumerate(by_line.items())
    ]
    drawn = figure(
        traces,
        scale_axis(row.cell.scale for row in rows),
        titled("test AUC − that of the reference", tickformat="+.4~f", nticks=7),
    )
    drawn.add_hline(y=0, line={"color": GREY, "width": 1.5})
    return drawn


def _difference_line(study: str, arm: str, rows: list[CellDifference], position: int, aside: float) -> go.Scatter:
    """One study and arm, moved aside so that no marker hides another."""
    found = [row.difference for row in rows]
    above = [(d.high if d.high is not None else d.value) - d.value for d in found]
    below = [d.value - (d.low if d.low is not None else d.value) for d in found]
    return go.Scatter(
        name=f"{plot_text(study)} {arm}",
        x=np.array([row.cell.scale * APART**aside for row in rows]),
        y=np.array([d.value for d in found]),
        error_y={"type": "data", "array": above, "arrayminus": below, "symmetric": False, "thickness": 1.2, "width": 4},
        mode="markers",
        marker={"color": series_color(position), "symbol": series_symbol(position, arm), "size": 9},
        text=[_difference_text(row) for row in rows],
        hovertemplate=f"{plot_text(study)} {arm}: %{{y:+.5f}}<br>%{{text}}<extra></extra>",
    )


def _difference_text(row: CellDifference) -> str:
    trials = "<br>".join(map(plot_text, row.trial_ids))
    return f"scale {row.cell.scale:g}×, {row.cell.num_sets} sets<br>trials {trials}"


def _table(reference: StudyResults, others: Sequence[StudyResults]) -> str:
    """Every shared cell as a row; sortable."""
    head = "".join(
        f'<th scope="col" data-kind="{"text" if name in TEXT_COLUMNS else "number"}"><button>{name}</button></th>'
        for name in (*COLUMNS, "interval", "shows")
    )
    rows = "".join(
        _row(row, SHOWS if same_data(reference, other) else OTHER_DATA)
        for other in others
        for row in cell_differences(reference, other, Metric.AUC)
    )
    if not rows:
        return "<p>No cell is finished in both studies.</p>"
    return (
        '<div class="scroll" tabindex="0"><table class="sortable" id="cells">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(row: CellDifference, shows: Mapping[Trend, str]) -> str:
    """One shared cell, and what its difference shows."""
    cell, found = row.cell, row.difference
    further = ", ".join(f"{name}={value}" for name, value in cell.further)
    words = [cell.model.family, cell.model.variant, cell.arm]
    cells = [f"<td>{text(word)}" for word in words]
    cells += [f"<td class=n>{cell.num_sets}", f"<td class=n>{cell.scale:g}"]
    cells += [f"<td>{text(further)}", f"<td>{text(row.study)}"]
    cells += [f"<td class=n>{number(value, 5)}" for value in (found.first, found.second)]
    cells.append(f"<td class=n>{found.value:+.5f}")
    interval = "–" if found.low is None or found.high is None else f"[{found.low:+.5f}, {found.high:+.5f}]"
    return f"<tr>{''.join(cells)}<td>{interval}<td>{shows[found.trend]}</tr>"
