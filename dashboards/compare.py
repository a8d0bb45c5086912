"""The comparison page: two or more studies side by side, on the same axes, with the difference per shared cell."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from dashboards.compare_tables import CellDifference, cell_differences, data_note, sentences
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
    ARM_SYMBOLS,
    FAMILY_COLORS,
    GREY,
    empty_figure,
    figure,
    scale_axis,
    size_axis,
    titled,
)
from dashboards.tables import Axis, MeanPoint, Metric, Model, grouped, mean_points, models, trials_of
from recscale.errors import ConfigError

CURVES_HOW = (
    "Colours are studies, dashes and diamonds multi-embedding. Look whether a study's curve lies above another's by "
    "more than the error bars (one standard deviation over seeds) at the same place of the axis."
)
DIFFERENCES_HOW = (
    "A bar that does not touch 0 is a difference beyond seed noise (90 % interval over seeds, each cell by itself: of "
    "ten cells without any difference one is expected to stand out)."
)
COLUMNS = ("family", "variant", "arm", "sets", "scale", "further", "study", "reference mean", "mean", "difference")
TEXT_COLUMNS = ("family", "variant", "arm", "further", "study", "interval", "shows")


def write_comparison(folders: Sequence[Path], path: Path) -> Path:
    """Reads the studies' tables and writes the page; ConfigError with fewer than two studies."""
    if len(folders) < 2:
        raise ConfigError(f"got {len(folders)} study, expected two or more to compare")
    return write_page_file(path, comparison_html([load_results(folder) for folder in folders]))


def comparison_html(studies: Sequence[StudyResults]) -> str:
    """The page as text; the first study is the reference."""
    reference, *others = studies
    found = list(dict.fromkeys(model for study in studies for model in models(study)))
    curves = [curves_panel(studies, model, index) for index, model in enumerate(found)]
    differences = [differences_panel(reference, others, model, index) for index, model in enumerate(found)]
    verdict = "".join(f"<p>{text(line)}</p>" for line in sentences(reference, others))
    note = data_note(studies)
    warning = f'<p class="bad">{text(note)}</p>' if note else ""
    body = controls_html((AXIS_CONTROL, METRIC_CONTROL)) + panels_html(curves, CURVES_HOW)
    sections = [
        _header(studies),
        section_html("Verdict", f'{warning}<div class="card">{verdict}</div>'),
        section_html("Side by side", body),
        section_html("Differences", panels_html(differences, DIFFERENCES_HOW)),
        section_html("Every shared cell", _table(reference, others)),
    ]
    return page_html(Page(" against ".join(study.name for study in studies), sections, [*curves, *differences]))


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
    return Panel(f"curves-{index}", model_title(model), (AXIS_CONTROL, METRIC_CONTROL), figures)


def curves_figure(studies: Sequence[StudyResults], model: Model, axis: Axis, metric: Metric) -> go.Figure:
    """One line per study and arm."""
    traces, x_values = [], []
    for position, study in enumerate(studies):
        points = mean_points(trials_of(study, model), axis.value, metric.value)
        for arm, group in grouped((point.arm, point) for point in points).items():
            traces.append(_line(study.name, arm, group, FAMILY_COLORS[position % len(FAMILY_COLORS)]))
        x_values += [point.x for point in points]
    if not traces:
        return empty_figure("No finished trial of this family.")
    x_axis = scale_axis(x_values) if axis is Axis.SCALE else size_axis(AXIS_TITLES[axis], x_values)
    return figure(traces, x_axis, titled(METRIC_TITLES[metric], tickformat=".4~f", nticks=7))


def _line(study: str, arm: str, points: list[MeanPoint], color: str) -> go.Scatter:
    trials = ["<br>".join(plot_text(seed.trial_id) for seed in point.seeds) for point in points]
    return go.Scatter(
        name=f"{plot_text(study)} {arm}",
        x=np.array([point.x for point in points]),
        y=np.array([point.mean for point in points]),
        error_y={"type": "data", "array": [point.std or 0.0 for point in points], "thickness": 1.2, "width": 4},
        mode="lines+markers",
        line={"color": color, "dash": ARM_DASHES[arm], "width": 2},
        marker={"symbol": ARM_SYMBOLS[arm], "size": 8},
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
    title = f"{model_title(model)}: test AUC minus that of {reference.name}"
    return Panel(f"differences-{index}", title, (), (differences_figure(rows),))


def differences_figure(rows: Sequence[CellDifference]) -> go.Figure:
    """One point per cell with its interval, against scale."""
    if not rows:
        return empty_figure("No cell of this family is finished in both studies.")
    studies = list(dict.fromkeys(row.study for row in rows))
    traces = [
        _difference_line(study, arm, group, FAMILY_COLORS[(studies.index(study) + 1) % len(FAMILY_COLORS)])
        for (study, arm), group in grouped(((row.study, row.cell.arm), row) for row in rows).items()
    ]
    drawn = figure(traces, scale_axis(row.cell.scale for row in rows), titled("difference of test AUC"))
    drawn.add_hline(y=0, line={"color": GREY, "width": 1.5})
    return drawn


def _difference_line(study: str, arm: str, rows: list[CellDifference], color: str) -> go.Scatter:
    found = [row.difference for row in rows]
    above = [(d.high if d.high is not None else d.value) - d.value for d in found]
    below = [d.value - (d.low if d.low is not None else d.value) for d in found]
    return go.Scatter(
        name=f"{plot_text(study)} {arm}",
        x=np.array([row.cell.scale for row in rows]),
        y=np.array([d.value for d in found]),
        error_y={"type": "data", "array": above, "arrayminus": below, "symmetric": False, "thickness": 1.2, "width": 4},
        mode="markers",
        marker={"color": color, "symbol": ARM_SYMBOLS[arm], "size": 9},
        text=[f"{row.cell.num_sets} sets<br>trials {', '.join(row.trial_ids)}" for row in rows],
        hovertemplate="%{y:+.5f}<br>%{text}<extra></extra>",
    )


def _table(reference: StudyResults, others: Sequence[StudyResults]) -> str:
    """Every shared cell as a row; sortable."""
    head = "".join(
        f'<th scope="col" data-kind="{"text" if name in TEXT_COLUMNS else "number"}"><button>{name}</button></th>'
        for name in (*COLUMNS, "interval", "shows")
    )
    rows = "".join(_row(row) for other in others for row in cell_differences(reference, other, Metric.AUC))
    if not rows:
        return "<p>No cell is finished in both studies.</p>"
    return (
        '<div class="scroll" tabindex="0"><table class="sortable" id="cells">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(row: CellDifference) -> str:
    cell, found = row.cell, row.difference
    further = ", ".join(f"{name}={value}" for name, value in cell.further)
    words = [cell.model.family, cell.model.variant, cell.arm]
    cells = [f"<td>{text(word)}" for word in words]
    cells += [f"<td class=n>{cell.num_sets}", f"<td class=n>{cell.scale:g}"]
    cells += [f"<td>{text(further)}", f"<td>{text(row.study)}"]
    cells += [f"<td class=n>{number(value, 5)}" for value in (found.first, found.second)]
    cells.append(f"<td class=n>{found.value:+.5f}")
    interval = "–" if found.low is None or found.high is None else f"[{found.low:+.5f}, {found.high:+.5f}]"
    shows = {"rises": "higher", "falls": "lower", "within_noise": "within seed noise", "one_seed": "too few seeds"}
    return f"<tr>{''.join(cells)}<td>{interval}<td>{shows[found.trend.value]}</tr>"
