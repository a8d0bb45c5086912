"""Does IA predict quality? A scatter plot of collapse metrics against AUC, and their correlations."""

from dataclasses import dataclass
from enum import StrEnum
from itertools import product

import numpy as np
import plotly.graph_objects as go

from dashboards.figures import model_title
from dashboards.page import Control, ControlKind, Panel, controls_html, panels_html, plot_text, section_html, text
from dashboards.results import StudyResults, Trial
from dashboards.style import empty_figure, figure, series_color, series_symbol, titled
from dashboards.tables import Model, grouped, place_of
from recscale.curves.association import Coefficient
from recscale.curves.prediction import MEASURE_NAMES, ArmAssociations, Measure

TITLE = "Does IA predict quality?"
OPENING = (
    "The paper explains poor scaling by collapsed tables. If that holds here, trials whose tables use more of their "
    "dimensions (high IA/K) should also be the better ones, within one family and arm."
)
HOW_TO_READ = (
    "A trial is a point, filled for SE and open for ME. Look within one colour and filling: do points to the right lie "
    "higher? Correlations are computed within each family and arm; ME starts at the base that both arms share. "
    "Intervals (90 %) draw whole cells of one scale and number of sets, because seeds of one cell are no new evidence; "
    "an interval without 0 shows an association, though of ten intervals one does so by chance. The gain over the base "
    "is the AUC minus one number per family, so it has the same correlations. A correlation over scales is no cause: "
    "whatever changes with scale goes with it."
)


class Outcome(StrEnum):
    """What is to be predicted."""

    AUC = "test AUC"
    GAIN = "gain over the base"


MEASURE_CONTROL = Control("measure", "Collapse metric", ControlKind.DROPDOWN, tuple(MEASURE_NAMES.values()))
OUTCOME_CONTROL = Control("outcome", "Quality", ControlKind.BUTTONS, tuple(Outcome))


@dataclass(frozen=True)
class ScatterPoint:
    """One trial in the scatter plot."""

    model: Model
    """Family, with the settings in which its trials differ, and variant."""
    trial: Trial
    """The trial."""
    x: float
    """Its collapse metric."""
    y: float
    """Its AUC, or that minus the family's base."""


@dataclass(frozen=True)
class CorrelationRow:
    """One line of the table of correlations."""

    model: Model
    """Family and variant."""
    arm: str
    """SE | ME."""
    measure: str
    """The collapse metric's name."""
    cells: int
    """Cells of one scale and number of sets."""
    trials: int
    """Trials."""
    spearman: str
    """Rank correlation with its interval."""
    pearson: str
    """Linear correlation with its interval."""
    note: str
    """What is lacking."""


def section(results: StudyResults) -> tuple[str, list[Panel]]:
    """The section and its panel."""
    if results.evidence.associations is None:
        lacking = "<p>associations.json has not been written; `recscale report` writes it.</p>"
        return section_html(TITLE, lacking), []
    panel = scatter_panel(results)
    body = f"<p>{text(OPENING)}</p>{_sentences(results)}{controls_html(panel.controls)}"
    return section_html(TITLE, f"{body}{panels_html([panel], HOW_TO_READ)}{_table(results)}"), [panel]


def groups_of(results: StudyResults) -> list[ArmAssociations]:
    """Families and arms in the order of the grid, SE first."""
    groups = results.evidence.associations or ()
    return sorted(
        groups, key=lambda group: (place_of(results, group.family, group.variant), group.family, group.arm != "SE")
    )


def scatter_panel(results: StudyResults) -> Panel:
    """Every collapse metric against AUC and gain."""
    figures = tuple(
        scatter_figure(scatter_points(results, measure, outcome), measure, outcome)
        for measure, outcome in product(Measure, Outcome)
    )
    title = "Quality against collapse, per trial: do points to the right lie higher?"
    return Panel("prediction", title, (MEASURE_CONTROL, OUTCOME_CONTROL), figures)


def scatter_points(results: StudyResults, measure: Measure, outcome: Outcome) -> list[ScatterPoint]:
    """The trials of every family that know both numbers, each once."""
    trials = {trial.trial_id: trial for trial in results.finished}
    points: dict[str, ScatterPoint] = {}
    for group in groups_of(results):
        for trial in (trials[name] for name in group.trial_ids if name in trials and name not in points):
            x, y = value_of(trial, measure), _quality(trial, outcome, group.base_auc)
            if x is not None and y is not None:
                points[trial.trial_id] = ScatterPoint(Model(group.family, group.variant), trial, x, y)
    return list(points.values())


def value_of(trial: Trial, measure: Measure) -> float | None:
    """A trial's collapse metric."""
    if measure is Measure.EFFECTIVE_RANK_RATIO:
        rank, dim = trial.effective_rank_mean, trial.embed_dim
        return rank / dim if rank is not None and dim else None
    value: float | None = getattr(trial, measure.value)
    return value


def _quality(trial: Trial, outcome: Outcome, base_auc: float | None) -> float | None:
    """A trial's AUC or gain."""
    if outcome is Outcome.AUC or trial.test_auc is None:
        return trial.test_auc
    return None if base_auc is None else trial.test_auc - base_auc


def scatter_figure(points: list[ScatterPoint], measure: Measure, outcome: Outcome) -> go.Figure:
    """Families by colour, SE filled and ME open."""
    if not points:
        return empty_figure(f"No finished trial knows its {MEASURE_NAMES[measure]} and {outcome}.")
    traces = [
        _trace(position, model, arm, group)
        for position, (model, rows) in enumerate(grouped((point.model, point) for point in points).items())
        for arm, group in grouped((row.trial.arm, row) for row in rows).items()
    ]
    y_axis = titled("test AUC" if outcome is Outcome.AUC else "test AUC − mean AUC of the base", nticks=7)
    return figure(traces, titled(MEASURE_NAMES[measure], nticks=8), y_axis)


def _trace(position: int, model: Model, arm: str, points: list[ScatterPoint]) -> go.Scatter:
    """The trials of one family and arm."""
    color, title = series_color(position), plot_text(model_title(model))
    return go.Scatter(
        name=f"{title} {arm}",
        x=np.array([point.x for point in points]),
        y=np.array([point.y for point in points]),
        mode="markers",
        marker={
            "color": color,
            "symbol": series_symbol(position, arm),
            "size": 9,
            "line": {"width": 0 if arm == "SE" else 2, "color": color},
        },
        text=[_hover(point.trial) for point in points],
        hovertemplate=f"{title} {arm}<br>%{{text}}<br>%{{x:.4f}}: %{{y:.5f}}<extra></extra>",
    )


def _hover(trial: Trial) -> str:
    """What hovering over a trial says."""
    return f"scale {trial.scale:g}×, {trial.num_sets} sets<br>trial {plot_text(trial.trial_id)}, seed {trial.seed}"


def correlation_rows(results: StudyResults) -> list[CorrelationRow]:
    """Every correlation, by family, arm and metric."""
    return [
        CorrelationRow(
            model=Model(group.family, group.variant),
            arm=group.arm,
            measure=MEASURE_NAMES[item.measure],
            cells=item.with_quality.cells,
            trials=item.with_quality.trials,
            spearman=_coefficient(item.with_quality.spearman),
            pearson=_coefficient(item.with_quality.pearson),
            note=item.with_quality.note,
        )
        for group in groups_of(results)
        for item in group.measures
    ]


def _coefficient(found: Coefficient | None) -> str:
    """A correlation with its interval."""
    if found is None:
        return "–"
    interval = "" if found.low is None else f" [{found.low:+.2f}, {found.high:+.2f}]"
    return f"{found.value:+.2f}{interval}"


def _sentences(results: StudyResults) -> str:
    """What each family and arm says."""
    lines = "".join(f"<li>{text(group.sentence)}</li>" for group in groups_of(results))
    return f"<ul>{lines}</ul>"


def _table(results: StudyResults) -> str:
    """The correlations, folded."""
    titles = ("family", "arm", "collapse metric", "cells", "trials", "Spearman", "Pearson", "note")
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    rows = "".join(
        f"<tr><td>{text(model_title(row.model))}</td><td>{text(row.arm)}</td><td>{text(row.measure)}</td>"
        f'<td class="n">{row.cells}</td><td class="n">{row.trials}</td><td class="n">{text(row.spearman)}</td>'
        f'<td class="n">{text(row.pearson)}</td><td class="wide">{text(row.note)}</td></tr>'
        for row in correlation_rows(results)
    )
    return (
        "<details open><summary>Correlations with test AUC, 90 % intervals over cells</summary>"
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        "</details>"
    )
