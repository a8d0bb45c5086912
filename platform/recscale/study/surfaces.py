"""The law of two variables over a study: tables and dense parameters, or parameters and rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recscale.curves.bootstrap import intervals, resample
from recscale.curves.curve import Parameter, Target
from recscale.curves.fitting import fit
from recscale.curves.laws import TWO_VARIABLE_POWER_LAW, Array
from recscale.curves.scaling import shown
from recscale.curves.selection import lack_of
from recscale.records import ModelSpec, TrainSpec, canonical_json, to_plain
from recscale.study.curves import METRICS, Finished, observe

REPLICATES = 100
"""Of the bootstrap of one surface."""
LEVEL = 0.9
"""Nominal coverage of its intervals."""


@dataclass(frozen=True)
class Surface:
    """The law of two variables of one family and metric, over both arms."""

    family: str
    """Family of the model."""
    variant: str
    """paper | fair."""
    metric: str
    """Name of the metric."""
    target: Target
    """value | complement: what of the metric the law is of."""
    variables: tuple[str, str]
    """n and d of the formula: (table_params, dense_params) or (params, train_fraction)."""
    trials: int
    """Trials that it was fitted to."""
    formula: str
    """The law's mean."""
    parameters: tuple[Parameter, ...]
    """Its parameters; empty where it could not be fitted."""
    converged: bool
    """Whether the search ended where the gradient vanishes."""
    condition_number: float | None
    """Of the search; None where the data do not tell the exponents apart or nothing was fitted."""
    level: float
    """Nominal coverage of the intervals."""
    note: str
    """What limits it and what to add; empty where nothing does."""


def study_surfaces(finished: Sequence[Finished]) -> tuple[Surface, ...]:
    """One surface per family and settings (all but scale, sets and train_fraction) and metric."""
    configurations = {spec.configuration for spec, _ in finished}
    settings = {configuration: _settings(*configuration) for configuration in configurations}
    by_settings: dict[str, list[Finished]] = {}
    for spec, result in finished:
        by_settings.setdefault(settings[spec.configuration], []).append((spec, result))
    groups = [trials for _, trials in sorted(by_settings.items())]
    return tuple(_surface(group, metric, target) for group in groups for metric, target in METRICS.items())


def _settings(model: ModelSpec, train: TrainSpec) -> str:
    neutral = [replace(model, scale=1.0, num_sets=1), replace(train, train_fraction=1.0)]
    return canonical_json(to_plain(neutral))


def _surface(trials: Sequence[Finished], metric: str, target: Target) -> Surface:
    law = TWO_VARIABLE_POWER_LAW
    variables, x = _variables(trials)
    y = shown(target, np.array([observe(trial, metric).value for trial in trials]))
    lack = lack_of(law, np.unique(x, axis=1).shape[1], y.size)
    parameters: tuple[Parameter, ...] = ()
    converged, condition, note = False, math.inf, f"not fitted: {lack}" if lack else ""
    if not lack:
        fitted = fit(law, x, y)
        ends = intervals(resample(fitted, x, y, level=LEVEL, replicates=REPLICATES), x[:, :1], LEVEL)
        columns = zip(
            law.parameter_names, fitted.parameters, ends.low.tolist(), ends.high.tolist(), fitted.at_bound, strict=True
        )
        parameters = tuple(Parameter(*column) for column in columns)
        converged, condition = fitted.converged, fitted.condition_number
        held = ", ".join(item.name for item in parameters if item.at_bound)
        note = f"{held} at a bound: not identified; vary the variables apart from each other" if held else ""
    spec = trials[0][0]
    return Surface(
        family=spec.model.family,
        variant=spec.model.variant.value,
        metric=metric,
        target=target,
        variables=variables,
        trials=len(trials),
        formula=law.formula,
        parameters=parameters,
        converged=converged,
        condition_number=condition if math.isfinite(condition) else None,
        level=LEVEL,
        note=note,
    )


def _variables(trials: Sequence[Finished]) -> tuple[tuple[str, str], Array]:
    """The two variables and their values [2, S]: rows where the trials differ in them, else the kinds of parameters."""
    tables = [float(result.table_params) for _, result in trials]
    dense = [float(result.dense_params) for _, result in trials]
    shares = [spec.train.train_fraction for spec, _ in trials]
    if len(set(shares)) > 1:
        return ("params", "train_fraction"), np.array([[t + d for t, d in zip(tables, dense, strict=True)], shares])
    return ("table_params", "dense_params"), np.array([tables, dense])
