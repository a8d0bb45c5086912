"""The tables behind the privacy figures: how well losses tell rows trained on from test rows."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dashboards.axis_tables import Line, LinePoint, StudyAxis, lines
from dashboards.figures import model_title
from dashboards.results import PrivacyRow, StudyResults, Trial
from dashboards.tables import Model, grouped, models, trials_of

NOISES = 2.0
"""Standard deviations of the noise without a leak that the figures shade."""


class Leak(StrEnum):
    """What measures a leak."""

    ALL_ROWS = "attack_auc"
    WITHIN_LABEL = "within_label_auc"
    LOSS_GAP = "loss_gap"


@dataclass(frozen=True)
class DetectionLine:
    """How often collections of rows trained on are detected, over seeds, against their size."""

    configuration: str
    """The line of the axis that it belongs to, after its group."""
    place: str
    """Where on the axis it stands."""
    color: int
    """Number of its colour: the position of its place."""
    arm: str
    """SE | ME."""
    rows: tuple[int, ...]
    """Sizes of a collection."""
    mean: tuple[float, ...]
    """Share of the collections detected, mean over seeds."""
    std: tuple[float, ...]
    """Standard deviation over seeds; 0 with one seed."""
    trial_ids: tuple[str, ...]
    """The trials."""


@dataclass(frozen=True)
class Strongest:
    """Where the attack does best."""

    configuration: str
    """Family, line and place."""
    attack_auc: float
    """Mean over seeds."""
    within_label_auc: float
    """Mean over seeds of the same trials."""
    noise: float
    """Standard deviation of the attack's AUC without a leak."""
    collection_rows: int | None
    """Size of the largest collections; None where the sample is too small for any."""
    detected: float | None
    """Share of those that are detected, mean over seeds."""


def by_trial(results: StudyResults) -> dict[str, PrivacyRow]:
    """The attacked trials."""
    return {row.trial_id: row for row in results.privacy or ()}


def leak_lines(results: StudyResults, model: Model, axis: StudyAxis, leak: Leak) -> list[Line]:
    """A measure of the leak along the axis."""
    rows = by_trial(results)

    def value(trial: Trial) -> float | None:
        row = rows.get(trial.trial_id)
        return None if row is None else float(getattr(row, leak.value))

    return lines(trials_of(results, model), axis, value)


def shade(results: StudyResults, leak: Leak) -> float | None:
    """Half the width around 0.5 in which an AUC without a leak would lie; None for the gap of losses."""
    column = {Leak.ALL_ROWS: "attack_noise", Leak.WITHIN_LABEL: "within_label_noise"}.get(leak)
    return NOISES * max(getattr(row, column) for row in results.privacy or ()) if column else None


def detection_lines(results: StudyResults, model: Model, axis: StudyAxis) -> list[DetectionLine]:
    """One per configuration and place of the axis."""
    table, attacked = leak_lines(results, model, axis, Leak.ALL_ROWS), by_trial(results)
    places = sorted({(point.place.x, point.place.label) for line in table for point in line.points})
    return [
        _detection_line(attacked, line, point, places.index((point.place.x, point.place.label)))
        for line in table
        for point in line.points
    ]


def _detection_line(attacked: dict[str, PrivacyRow], line: Line, point: LinePoint, color: int) -> DetectionLine:
    rows = [attacked[trial.trial_id] for trial in point.trials]
    shares = grouped(pair for row in rows for pair in zip(row.collection_rows, row.detected, strict=True))
    return DetectionLine(
        configuration=configuration(line),
        place=point.place.label,
        color=color,
        arm=line.arm,
        rows=tuple(shares),
        mean=tuple(float(np.mean(values)) for values in shares.values()),
        std=tuple(float(np.std(values, ddof=1)) if len(values) > 1 else 0.0 for values in shares.values()),
        trial_ids=tuple(trial.trial_id for trial in point.trials),
    )


def configuration(line: Line) -> str:
    """A line in words, its group included."""
    return f"{line.group}, {line.label}" if line.group else line.label


def configurations(results: StudyResults, axis: StudyAxis) -> list[str]:
    """Every line of every family, once."""
    tables = [leak_lines(results, model, axis, Leak.ALL_ROWS) for model in models(results)]
    return list(dict.fromkeys(configuration(line) for table in tables for line in table))


def strongest(results: StudyResults, axis: StudyAxis) -> Strongest | None:
    """The configuration of the largest attack AUC; None where no trial was attacked."""
    found = [
        (point.mean, f"{model_title(model)} {configuration(line)} at {axis.name} {point.place.label}", point)
        for model in models(results)
        for line in leak_lines(results, model, axis, Leak.ALL_ROWS)
        for point in line.points
    ]
    if not found:
        return None
    value, words, point = max(found, key=lambda item: item[0])
    attacked = by_trial(results)
    rows = [attacked[trial.trial_id] for trial in point.trials]
    largest = [row for row in rows if row.collection_rows]
    return Strongest(
        configuration=words,
        attack_auc=value,
        within_label_auc=float(np.mean([row.within_label_auc for row in rows])),
        noise=max(row.attack_noise for row in rows),
        collection_rows=largest[0].collection_rows[-1] if largest else None,
        detected=float(np.mean([row.detected[-1] for row in largest])) if largest else None,
    )


def absent_trials(results: StudyResults) -> int:
    """Finished trials that were not attacked."""
    attacked = by_trial(results)
    return sum(trial.trial_id not in attacked for trial in results.finished)
