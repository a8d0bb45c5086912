"""From the finished trials of a study to multi-embedding against single-embedding at the same budget."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from typing import Any

import pyarrow as pa

from recscale.curves.curve import Observation
from recscale.curves.equal_budget import BudgetAxis, compare
from recscale.records import Arm, TrialGroup
from recscale.study.curves import METRICS, Finished, by_family, cells_of, observe

EQUAL_BUDGET_SCHEMA = pa.schema(
    [
        ("family", pa.string()),
        ("variant", pa.string()),
        ("metric", pa.string()),
        ("axis", pa.string()),
        ("scale", pa.float64()),
        ("num_sets", pa.int64()),
        ("x", pa.float64()),
        ("multi", pa.float64()),
        ("single", pa.float64()),
        ("lower_scale", pa.float64()),
        ("upper_scale", pa.float64()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("level", pa.float64()),
        ("note", pa.string()),
    ]
)
"""Columns of equal_budget.parquet: a multi-embedding cell, then the fields of `Comparison`."""


def equal_budget_table(finished: Sequence[Finished], groups: Sequence[TrialGroup] = ()) -> pa.Table:
    """One row per family, variant, multi-embedding cell, metric and axis."""
    rows = [
        row
        for (family, variant), members in by_family(finished, groups)
        for row in _of_family({"family": family, "variant": variant}, members)
    ]
    return pa.Table.from_pylist(rows, schema=EQUAL_BUDGET_SCHEMA)


def _of_family(model: dict[str, Any], members: Sequence[Finished]) -> list[dict[str, Any]]:
    """The rows of one family."""
    single = [trial for trial in members if trial[0].model.arm is Arm.SINGLE]
    multi = [trial for trial in members if trial[0].model.arm is Arm.MULTI]
    return [
        {**model, "metric": metric, "axis": axis.value, "scale": scale, "num_sets": num_sets}
        | asdict(compare(_sized(single, metric, axis), _sized(cell, metric, axis)))
        for (scale, num_sets), cell in cells_of(multi).items()
        for metric, axis in product(METRICS, BudgetAxis)
    ]


def _sized(trials: Sequence[Finished], metric: str, axis: BudgetAxis) -> list[Observation]:
    """The trials' metric against their size."""
    return [observe(trial, metric, size_of(trial, axis)) for trial in trials]


def size_of(trial: Finished, axis: BudgetAxis) -> float:
    """What the trial has on the axis."""
    spec, result = trial
    if axis is BudgetAxis.SCALE:
        return spec.model.scale
    if axis is BudgetAxis.TOTAL_PARAMS:
        return float(result.table_params + result.dense_params)
    return float(getattr(result, axis.value))
