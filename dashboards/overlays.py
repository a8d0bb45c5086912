"""What the scaling figures show beside SE and ME: ensembles of base models, and the published table."""

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from dashboards.page import number, plot_text
from dashboards.results import StudyResults
from dashboards.style import ARM_SYMBOLS, GREEN, GREY
from dashboards.tables import Axis, MeanPoint, Metric, Model, grouped
from recscale.curves.ensembles import EnsembleCell
from recscale.curves.published import RUNS, SOURCE, PublishedAuc, PublishedDataset, published_aucs

ENSEMBLE_NAME = "ensemble of M base models"
LAST = 1001
"""Rank in the legend after all others, whose rank is plotly's default of 1000."""


@dataclass(frozen=True)
class Overlay:
    """Further traces of one scaling figure."""

    traces: tuple[go.Scatter, ...] = ()
    """Drawn below everything else."""
    x: tuple[float, ...] = ()
    """Their sizes, for the axis."""
    note: str = ""
    """What is not drawn, and where it would be."""


@dataclass(frozen=True)
class EnsemblePoint:
    """The ensembles of one number of base models."""

    members: int
    """M; 1 is the base model itself."""
    x: float
    """Size on the axis."""
    mean: float
    """Mean over the ensembles."""
    std: float | None
    """Standard deviation over separate ensembles; None where there are not two."""
    groups: int
    """Ensembles, or base models where M is 1."""


def overlay(results: StudyResults, model: Model, axis: Axis, metric: Metric, points: list[MeanPoint]) -> Overlay:
    """Ensembles and the published table, as far as they exist for this figure."""
    parts = (
        _ensembles(ensemble_points(results, model, axis, metric, points)),
        _published(results, model, axis, metric, points),
    )
    return Overlay(
        traces=tuple(trace for part in parts for trace in part.traces),
        x=tuple(x for part in parts for x in part.x),
        note=next((part.note for part in parts if part.note), ""),
    )


def ensemble_points(
    results: StudyResults, model: Model, axis: Axis, metric: Metric, points: list[MeanPoint]
) -> list[EnsemblePoint]:
    """The base, then its ensembles by their number of members; empty where there is no ensemble."""
    found = [
        EnsemblePoint(cell.members, _size(cell, axis), cell.mean, cell.std, cell.groups)
        for cell in results.evidence.ensembles or ()
        if (cell.family, cell.variant, cell.metric) == (model.family, model.variant, metric.value)
        and cell.mean is not None
    ]
    base = [point for point in points if point.arm == "SE" and point.scale == 1]
    start = [EnsemblePoint(1, point.x, point.mean, point.std, len(point.seeds)) for point in base]
    return start + sorted(found, key=lambda point: point.members) if found else []


def _size(cell: EnsembleCell, axis: Axis) -> float:
    """What an ensemble has on the axis."""
    if axis is Axis.SCALE:
        return float(cell.members)
    if axis is Axis.TOTAL_PARAMS:
        return float(cell.table_params + cell.dense_params)
    return float(getattr(cell, axis.value))


def _ensembles(points: list[EnsemblePoint]) -> Overlay:
    """The third line."""
    if not points:
        return Overlay()
    trace = go.Scatter(
        name=ENSEMBLE_NAME,
        legendrank=LAST,
        x=np.array([point.x for point in points]),
        y=np.array([point.mean for point in points]),
        error_y={"type": "data", "array": [point.std or 0.0 for point in points], "thickness": 1.2, "width": 4},
        mode="lines+markers",
        line={"color": GREEN, "dash": "dot", "width": 1.5},
        marker={"color": GREEN, "symbol": "square", "size": 7},
        text=[_ensemble_text(point) for point in points],
        hovertemplate="%{text}<extra></extra>",
    )
    return Overlay((trace,), tuple(point.x for point in points))


def _ensemble_text(point: EnsemblePoint) -> str:
    """What hovering over an ensemble says."""
    what = "base model" if point.members == 1 else f"{point.members} base models, logits averaged"
    spread = "" if point.std is None else f" ± {point.std:.2g}"
    unit = "seeds" if point.members == 1 else "ensembles"
    return f"{what}<br>mean {point.mean:.5f}{spread} over {point.groups} {unit}"


def published_points(results: StudyResults, model: Model) -> tuple[PublishedAuc, ...]:
    """The published cells of a family, where the dataset is one of the table's."""
    source = dict(results.provenance).get("dataset_format", "")
    if source not in {*PublishedDataset}:
        return ()
    return tuple(cell for cell in published_aucs(PublishedDataset(source)) if cell.family == model.family)


def _published(results: StudyResults, model: Model, axis: Axis, metric: Metric, points: list[MeanPoint]) -> Overlay:
    """Open grey markers where the axis has room for them, else a note; the table has AUC against scale only."""
    cells = published_points(results, model) if (axis, metric) == (Axis.SCALE, Metric.AUC) else ()
    if not cells:
        return Overlay()
    ours = [seed.y for point in points for seed in point.seeds]
    theirs = [cell.mean for cell in cells]
    outside = max(min(ours) - min(theirs), max(theirs) - max(ours), 0.0)
    if outside > max(ours) - min(ours):
        arrow = "↑" if max(theirs) > max(ours) else "↓"
        span = f"{number(min(theirs), 5)} to {number(max(theirs), 5)}"
        return Overlay(note=f"{arrow} {SOURCE}: AUC {span}, off the axis (prepared differently)")
    traces = [_published_trace(arm, group) for arm, group in grouped((str(c.arm), c) for c in cells).items()]
    return Overlay(tuple(traces), tuple(cell.scale for cell in cells))


def _published_trace(arm: str, cells: list[PublishedAuc]) -> go.Scatter:
    """The published cells of one arm."""
    return go.Scatter(
        name=SOURCE,
        legendgroup=SOURCE,
        legendrank=LAST + 1,
        showlegend=arm == "SE",
        x=np.array([cell.scale for cell in cells]),
        y=np.array([cell.mean for cell in cells]),
        mode="markers",
        marker={"color": GREY, "symbol": f"{ARM_SYMBOLS[arm]}-open", "size": 9, "line": {"width": 1.5}},
        text=[f"{cell.mean:.5f} ± {cell.std:.5f} over {RUNS} runs" for cell in cells],
        hovertemplate=f"{plot_text(SOURCE)}<br>{arm}, scale %{{x:g}}×<br>%{{text}}<extra></extra>",
    )
