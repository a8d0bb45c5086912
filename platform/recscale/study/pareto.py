"""Cost against quality over a study's families and arms: which models nobody beats in both."""

from collections.abc import Mapping
from statistics import fmean

import numpy as np
import pyarrow as pa

from recscale.curves.pareto import pareto_front
from recscale.curves.verdict import Better
from recscale.records import TrialResult
from recscale.study.curves import by_family, cells_of
from recscale.study.study import Study

QUALITIES = {"test_auc": Better.HIGHER, "test_log_loss": Better.LOWER}
"""Metrics of a front, with their good directions."""

COSTS = ("flops_per_sample", "seconds", "memory_bytes")
"""FLOPs of a row's forward pass; seconds of training on the trial's device; bytes alive at the peak of training, as
accounted before launch."""

PARETO_SCHEMA = pa.schema(
    [
        ("family", pa.string()),
        ("variant", pa.string()),
        ("arm", pa.string()),
        ("scale", pa.float64()),
        ("num_sets", pa.int64()),
        ("seeds", pa.int64()),
        ("metric", pa.string()),
        ("quality", pa.float64()),
        ("cost_name", pa.string()),
        ("cost", pa.float64()),
        ("on_front", pa.bool_()),
    ]
)
"""Columns of pareto.parquet: a row per cell, metric and cost; quality and cost are means over seeds."""


def pareto_table(study: Study, results: Mapping[str, TrialResult]) -> pa.Table:
    """Every finished cell against every cost; `on_front` is over all families and arms of the study."""
    memory = {spec.trial_id: cost.peak_memory_bytes for spec, cost in study.trials}
    finished = [(spec, results[spec.trial_id]) for spec in study.spec.trials if spec.trial_id in results]
    rows = []
    for (family, variant), members in by_family(finished, study.spec.groups):
        for (scale, num_sets), cell in cells_of(members).items():
            axes = {"family": family, "variant": variant, "arm": cell[0][0].model.arm.value, "scale": scale}
            costs = {
                "flops_per_sample": fmean(result.flops_per_sample for _, result in cell),
                "seconds": fmean(result.seconds for _, result in cell),
                "memory_bytes": fmean(memory[spec.trial_id] for spec, _ in cell),
            }
            rows += [
                {**axes, "num_sets": num_sets, "seeds": len(cell), "metric": metric, "cost_name": name, "cost": cost}
                | {"quality": fmean(getattr(result.test, metric.removeprefix("test_")) for _, result in cell)}
                for metric in QUALITIES
                for name, cost in costs.items()
            ]
    for metric, better in QUALITIES.items():
        for name in COSTS:
            chosen = [row for row in rows if (row["metric"], row["cost_name"]) == (metric, name)]
            cost, quality = (np.array([row[key] for row in chosen], dtype=float) for key in ("cost", "quality"))
            for row, front in zip(chosen, pareto_front(cost, quality, better), strict=True):
                row["on_front"] = bool(front)
    return pa.Table.from_pylist(rows, schema=PARETO_SCHEMA)
