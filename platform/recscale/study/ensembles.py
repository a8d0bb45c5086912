"""Ensembles of a study's base models, from their stored test predictions: nothing is trained.

Legend: B rows of the test split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from recscale.curves.curve import Observation
from recscale.curves.differences import Difference
from recscale.curves.ensembles import EnsembleCell, Groups, against, groups_of, lacking, spread
from recscale.errors import DataError
from recscale.records import Metrics, TrialResult
from recscale.study.curves import METRICS, Finished, by_family, cells_of, observe
from recscale.study.store import TrialStore
from recscale.training.metrics import score_predictions

BASE = (1.0, 1)
"""Scale and number of sets of the models that ensembles are made of."""

ENSEMBLES_SCHEMA = pa.schema(
    [
        ("family", pa.string()),
        ("variant", pa.string()),
        ("metric", pa.string()),
        ("members", pa.int64()),
        ("seeds", pa.int64()),
        ("groups", pa.int64()),
        ("grouping", pa.string()),
        ("mean", pa.float64()),
        ("std", pa.float64()),
        ("table_params", pa.int64()),
        ("dense_params", pa.int64()),
        ("flops_per_sample", pa.int64()),
        ("multi", pa.float64()),
        ("multi_value", pa.float64()),
        ("multi_low", pa.float64()),
        ("multi_high", pa.float64()),
        ("single", pa.float64()),
        ("single_value", pa.float64()),
        ("single_low", pa.float64()),
        ("single_high", pa.float64()),
        ("trial_ids", pa.list_(pa.string())),
        ("note", pa.string()),
    ]
)
"""Columns of ensembles.parquet: the fields of `EnsembleCell`."""


def ensembles_table(store: TrialStore, finished: Sequence[Finished]) -> pa.Table:
    """One row per family, variant, whole scale above 1 and metric."""
    rows = [
        asdict(cell)
        for (family, variant), members in by_family(finished)
        for cell in _of_family(store, family, variant, members)
    ]
    return pa.Table.from_pylist(rows, schema=ENSEMBLES_SCHEMA)


def _of_family(store: TrialStore, family: str, variant: str, trials: Sequence[Finished]) -> list[EnsembleCell]:
    """The ensembles of one family; none where it has no base model to be sized by."""
    cells = cells_of(trials)
    base = cells.get(BASE, [])
    sizes = sorted({int(scale) for scale, _ in cells if scale > 1 and scale == int(scale)})
    if not base:
        return []
    logits = {spec.trial_id: store.read_predictions(spec.trial_id) for spec, _ in base}
    return [
        EnsembleCell(family, variant, **of_metric)
        for size in sizes
        for of_metric in _of_size(size, base, cells, _scores(groups_of(list(logits), size), logits))
    ]


def _scores(groups: Groups, predictions: Mapping[str, pa.Table]) -> tuple[Groups, tuple[Metrics, ...]]:
    """The groups with their ensembles' quality on the test split."""
    return groups, tuple(score_ensemble([predictions[trial] for trial in group]) for group in groups.members)


def score_ensemble(members: Sequence[pa.Table]) -> Metrics:
    """Quality of the mean of the members' logits; DataError where they predict different rows."""
    label_B = members[0]["label"].to_numpy()
    for other in members[1:]:
        if not np.array_equal(other["label"].to_numpy(), label_B):
            raise DataError(
                f"predictions of {len(label_B)} and {len(other)} test rows differ in their labels, expected the same "
                f"test split; delete the trial folders of one of them to run them again"
            )
    logit_B = np.mean([member["logit"].to_numpy().astype(np.float64) for member in members], axis=0)
    return score_predictions(torch.from_numpy(logit_B), torch.from_numpy(label_B.astype(np.float32)))


def _of_size(
    size: int,
    base: Sequence[Finished],
    cells: Mapping[tuple[float, int], list[Finished]],
    scored: tuple[Groups, Sequence[Metrics]],
) -> list[dict[str, Any]]:
    """Everything but the model's name of the cells of one size, one per metric."""
    groups, scores = scored
    one: TrialResult = base[0][1]
    sizes = {name: size * getattr(one, name) for name in ("table_params", "dense_params", "flops_per_sample")}
    return [
        {
            "metric": metric,
            "members": size,
            "seeds": len(base),
            "groups": len(scores),
            "grouping": groups.grouping.value,
            **sizes,
            **_compared(metric, size, cells, groups, scores),
            "trial_ids": tuple(spec.trial_id for spec, _ in base),
            "note": lacking(size, len(base)),
        }
        for metric in METRICS
    ]


def _compared(
    metric: str,
    size: int,
    cells: Mapping[tuple[float, int], list[Finished]],
    groups: Groups,
    scores: Sequence[Metrics],
) -> dict[str, float | None]:
    """Mean and spread of the ensembles, and what their rivals of the same embedding budget have on them."""
    name = metric.removeprefix("test_")
    ensembles = [
        Observation(float(size), float(size), float(getattr(score, name)), "+".join(group))
        for score, group in zip(scores, groups.members, strict=True)
    ]
    row: dict[str, float | None] = {
        "mean": float(np.mean([item.value for item in ensembles])) if ensembles else None,
        "std": spread(ensembles, groups.grouping),
    }
    for key, num_sets in (("multi", size), ("single", 1)):
        rivals = [observe(trial, metric) for trial in cells.get((float(size), num_sets), [])]
        row |= _rival(key, rivals, against(ensembles, rivals, groups.grouping))
    return row


def _rival(key: str, rivals: Sequence[Observation], found: Difference | None) -> dict[str, float | None]:
    """One rival's mean and its difference under the names of the table."""
    return {
        key: float(np.mean([item.value for item in rivals])) if rivals else None,
        f"{key}_value": found.value if found else None,
        f"{key}_low": found.low if found else None,
        f"{key}_high": found.high if found else None,
    }
