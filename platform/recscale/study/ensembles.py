"""Ensembles of a study's base models, from their stored test predictions: nothing is trained.

Legend: B rows of the test split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow as pa

from recscale.curves.curve import Observation
from recscale.curves.ensembles import EnsembleCell, Grouping, Groups, against, groups_of, lacking, spread
from recscale.curves.quality import score_logits
from recscale.errors import DataError
from recscale.records import Metrics, TrialGroup
from recscale.study.curves import METRICS, Finished, by_family, cells_of, observe
from recscale.study.store import TrialStore

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


Cells = Mapping[tuple[float, int], Sequence[Finished]]


@dataclass(frozen=True)
class _Scored:
    """The ensembles of one size."""

    size: int
    """Models of an ensemble."""
    groups: Groups
    """Which models come together."""
    metrics: tuple[Metrics, ...]
    """Quality of each group on the test split."""


def ensembles_table(store: TrialStore, finished: Sequence[Finished], groups: Sequence[TrialGroup] = ()) -> pa.Table:
    """One row per family, variant, whole scale above 1 and metric."""
    rows = [
        asdict(cell)
        for (family, variant), members in by_family(finished, groups)
        for cell in _of_family(store, family, variant, members)
    ]
    return pa.Table.from_pylist(rows, schema=ENSEMBLES_SCHEMA)


def _of_family(store: TrialStore, family: str, variant: str, trials: Sequence[Finished]) -> list[EnsembleCell]:
    """The ensembles of one family; none where it has no base model to be sized by."""
    cells = cells_of(trials)
    sizes = sorted({int(scale) for scale, _ in cells if scale > 1 and scale == int(scale)})
    if BASE not in cells:
        return []
    predictions = {spec.trial_id: store.read_predictions(spec.trial_id) for spec, _ in cells[BASE]}
    found = [_score(size, predictions) for size in sizes]
    return [_cell(family, variant, metric, scored, cells) for scored in found for metric in METRICS]


def _score(size: int, predictions: Mapping[str, pa.Table]) -> _Scored:
    """Groups of that many base models with their quality on the test split."""
    groups = groups_of(list(predictions), size)
    metrics = [score_ensemble([predictions[trial] for trial in group]) for group in groups.members]
    return _Scored(size, groups, tuple(metrics))


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
    return score_logits(logit_B, label_B)


def _cell(family: str, variant: str, metric: str, scored: _Scored, cells: Cells) -> EnsembleCell:
    """One metric of the ensembles of one size beside their rivals of the same embedding budget."""
    size, grouping, base = scored.size, scored.groups.grouping, cells[BASE]
    ensembles = _observations(metric, scored)
    one = base[0][1]
    return EnsembleCell(
        family=family,
        variant=variant,
        metric=metric,
        members=size,
        seeds=len(base),
        groups=len(ensembles),
        grouping=grouping.value,
        mean=fmean(item.value for item in ensembles) if ensembles else None,
        std=spread(ensembles, grouping),
        table_params=size * one.table_params,
        dense_params=size * one.dense_params,
        flops_per_sample=size * one.flops_per_sample,
        **_rival("multi", metric, cells.get((float(size), size), []), ensembles, grouping),
        **_rival("single", metric, cells.get((float(size), 1), []), ensembles, grouping),
        trial_ids=tuple(spec.trial_id for spec, _ in base),
        note=lacking(size, len(base)),
    )


def _observations(metric: str, scored: _Scored) -> list[Observation]:
    """One metric of every ensemble; an ensemble is called by its members."""
    name, size = metric.removeprefix("test_"), float(scored.size)
    return [
        Observation(size, size, float(getattr(quality, name)), "+".join(members))
        for quality, members in zip(scored.metrics, scored.groups.members, strict=True)
    ]


def _rival(
    key: str, metric: str, trials: Sequence[Finished], ensembles: Sequence[Observation], grouping: Grouping
) -> dict[str, Any]:
    """A rival's mean and what it has on the ensembles, under the names of `EnsembleCell`."""
    rivals = [observe(trial, metric) for trial in trials]
    found = against(ensembles, rivals, grouping)
    return {
        key: fmean(item.value for item in rivals) if rivals else None,
        f"{key}_value": found.value if found else None,
        f"{key}_low": found.low if found else None,
        f"{key}_high": found.high if found else None,
    }
