"""The tables behind a study along one axis: a line per configuration, and what changes from one end to the other."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

import numpy as np

from dashboards.results import Trial
from dashboards.tables import grouped
from recscale.curves.curve import Observation
from recscale.curves.differences import Difference, difference

Value = Callable[[Trial], float | None]
"""What of a trial is drawn; None where it has no such number."""


class Spacing(StrEnum):
    """How an axis is laid out."""

    LINEAR = "linear"
    LOG = "log"
    CATEGORIES = "categories"


@dataclass(frozen=True, order=True)
class Place:
    """Where on an axis a trial stands; places are sorted as they are drawn."""

    x: float
    """Value on a numeric axis; of a category its rank."""
    label: str
    """The value in words."""
    group: str = ""
    """What sets categories apart: each group has a stretch of the axis of its own."""


@dataclass(frozen=True)
class StudyAxis:
    """What a page's figures are drawn against."""

    name: str
    """Its name in a sentence."""
    title: str
    """Its name under a figure, with the unit."""
    columns: tuple[str, ...]
    """`scale`, or the further columns that it stands for."""
    spacing: Spacing
    """linear | log | categories."""
    place: Callable[[Trial], Place | None]
    """Where a trial stands; None where the study does not vary it."""


def numeric_axis(name: str, title: str, column: str, spacing: Spacing) -> StudyAxis:
    """An axis of one further column that holds numbers."""

    def place(trial: Trial) -> Place | None:
        value = dict(trial.further).get(column)
        return None if value is None else Place(float(value), f"{float(value):g}")

    return StudyAxis(name, title, (column,), spacing, place)


SCALE = StudyAxis(
    name="scale",
    title="scale (embedding budget, × base)",
    columns=("scale",),
    spacing=Spacing.LOG,
    place=lambda trial: Place(trial.scale, f"{trial.scale:g}×"),
)
"""The axis that every grid has."""


@dataclass(frozen=True)
class LinePoint:
    """The trials of one configuration at one place, over seeds."""

    place: Place
    """Where."""
    mean: float
    """Mean over seeds."""
    std: float | None
    """Standard deviation over seeds (n - 1); None with one seed."""
    trials: tuple[Observation, ...]
    """The trials."""


@dataclass(frozen=True)
class Line:
    """One configuration along the axis."""

    label: str
    """What it is: arm, scale, sets, K, and any further setting."""
    arm: str
    """SE | ME."""
    color: int
    """Number of its colour: lines that differ in their sets only share one."""
    group: str
    """Group of its places."""
    points: tuple[LinePoint, ...]
    """By place."""


@dataclass(frozen=True)
class Change:
    """What one line does between two places."""

    line: Line
    """The line."""
    first: Place
    """Where it starts."""
    last: Place
    """Where it ends."""
    difference: Difference
    """The mean there minus the mean here."""


@dataclass(frozen=True)
class _Configuration:
    """What tells a line from the others."""

    arm: str
    scale: float | None
    num_sets: int | None
    group: str
    settings: tuple[tuple[str, str], ...]


def lines(trials: Iterable[Trial], axis: StudyAxis, value: Value) -> list[Line]:
    """One line per configuration, by arm (SE first), scale and sets; trials without a place or a value are left out."""
    found = [(trial, place, y) for trial in trials if (place := axis.place(trial)) and (y := value(trial)) is not None]
    placed = [trial for trial, _, _ in found]
    numbered, named = _several_sets_per_scale(placed), _differing(placed) - {*axis.columns}
    by_configuration = grouped((_configuration(item[0], item[1], axis, numbered, named), item) for item in found)
    ordered = sorted(by_configuration.items(), key=lambda item: _order(item[0]))
    colors = list(dict.fromkeys(_color_key(key) for key, _ in ordered))
    return [
        Line(
            label=_label(key, items[0][0]),
            arm=key.arm,
            color=colors.index(_color_key(key)),
            group=key.group,
            points=_points(items),
        )
        for key, items in ordered
    ]


def _several_sets_per_scale(trials: Sequence[Trial]) -> bool:
    """Whether a scale has more than one number of sets above 1."""
    cells = {(trial.scale, trial.num_sets) for trial in trials if trial.arm != "SE"}
    return len(cells) > len({scale for scale, _ in cells})


def _differing(trials: Sequence[Trial]) -> set[str]:
    """Further columns of more than one value."""
    values = grouped(pair for trial in trials for pair in trial.further)
    return {name for name, seen in values.items() if len({*seen}) > 1}


def _configuration(trial: Trial, place: Place, axis: StudyAxis, numbered: bool, named: set[str]) -> _Configuration:
    """Along the scale, sets that follow it are one line."""
    along_scale = "scale" in axis.columns
    return _Configuration(
        arm=trial.arm,
        scale=None if along_scale else trial.scale,
        num_sets=trial.num_sets if numbered or not along_scale else None,
        group=place.group,
        settings=tuple(pair for pair in trial.further if pair[0] in named),
    )


def _order(key: _Configuration) -> tuple[bool, float, int, tuple[tuple[str, str], ...]]:
    return key.arm != "SE", key.scale or 0.0, key.num_sets or 0, key.settings


def _color_key(key: _Configuration) -> tuple[object, ...]:
    """Along the scale, arms and numbers of sets have colours; else scales have, and arms have dashes."""
    return (key.arm, key.num_sets, key.settings) if key.scale is None else (key.scale, key.settings)


def _label(key: _Configuration, trial: Trial) -> str:
    sets = [f"{key.num_sets} sets"] if key.num_sets is not None and key.arm != "SE" else []
    scale = [] if key.scale is None else [f"{key.scale:g}×"]
    dim = [] if key.scale is None or trial.embed_dim is None else [f"K = {trial.embed_dim}"]
    settings = [f"{name} = {value}" for name, value in key.settings]
    return ", ".join([" ".join([key.arm, *scale]), *sets, *dim, *settings])


def _points(items: list[tuple[Trial, Place, float]]) -> tuple[LinePoint, ...]:
    ordered = sorted(items, key=lambda item: (item[1], item[0].seed))
    return tuple(_point(place, list(group)) for place, group in groupby(ordered, key=lambda item: item[1]))


def _point(place: Place, items: list[tuple[Trial, Place, float]]) -> LinePoint:
    values = np.array([y for _, _, y in items])
    return LinePoint(
        place=place,
        mean=float(values.mean()),
        std=float(values.std(ddof=1)) if len(items) > 1 else None,
        trials=tuple(Observation(trial.scale, trial.scale, y, trial.trial_id) for trial, _, y in items),
    )


def end_changes(found: Iterable[Line], spacing: Spacing) -> list[Change]:
    """From a line's first place to its last; of categories from the first to each other one."""
    return [
        _change(line, line.points[0], last)
        for line in found
        for last in (line.points[1:] if spacing is Spacing.CATEGORIES else line.points[1:][-1:])
    ]


def inner_changes(found: Iterable[Line], spacing: Spacing) -> list[Change]:
    """From a line's second place to its last, where a numeric axis has at least three."""
    long = [line for line in found if len(line.points) > 2 and spacing is not Spacing.CATEGORIES]
    return [_change(line, line.points[1], line.points[-1]) for line in long]


def _change(line: Line, first: LinePoint, last: LinePoint) -> Change:
    return Change(line, first.place, last.place, difference(first.trials, last.trials))
