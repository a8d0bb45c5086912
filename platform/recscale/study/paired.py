"""Multi- against single-embedding at the same scale on the same test rows, for every family and scale of a study.

Legend: T seeds that both arms have, B test rows. Statistics at recscale.curves.paired.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recscale.curves.delong import Placements, delong_covariance, placements
from recscale.curves.laws import Array
from recscale.curves.paired import Difference, compare, difference, holm, pooled_noise, row_bootstrap
from recscale.curves.verdict import Better
from recscale.errors import DataError
from recscale.records import TrialGroup
from recscale.storage.location import Location, arrow_source, read_parquet
from recscale.study.curves import FamilyTrials, Finished, by_family, cells_of
from recscale.study.files import write_parquet
from recscale.study.noise import row_losses
from recscale.study.store import TrialStore
from recscale.study.study import Study

METRICS = {"test_auc": Better.HIGHER, "test_log_loss": Better.LOWER}
"""Compared metrics, with their good directions."""

VERSION = {b"recscale_paired": b"2"}
"""Of the differences; rows that another version wrote are computed again."""

PAIRED_SCHEMA = pa.schema(
    [
        ("family", pa.string()),
        ("variant", pa.string()),
        ("scale", pa.float64()),
        ("num_sets", pa.int64()),
        ("metric", pa.string()),
        ("single", pa.float64()),
        ("multi", pa.float64()),
        ("value", pa.float64()),
        ("seeds", pa.int64()),
        ("seed_std", pa.float64()),
        ("eval_std", pa.float64()),
        ("own_std", pa.float64()),
        ("pooled_seed_std", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("level", pa.float64()),
        ("standard_error", pa.float64()),
        ("freedom", pa.float64()),
        ("p_value", pa.float64()),
        ("p_holm", pa.float64()),
        ("p_better", pa.float64()),
        ("trials", pa.list_(pa.string())),
    ],
    metadata=VERSION,
)
"""Columns of paired.parquet: value is multi minus single over the seeds that both have; pooled_seed_std is seed_std
over all cells of the family, of which low to p_better are made; p_holm corrects p_value over all rows of the metric;
trials are those of single, then those of multi, in the order of their seeds."""

Pairs = list[tuple[Finished, Finished]]


def write_paired(study: Study, finished: Sequence[Finished]) -> None:
    """Writes paired.parquet; a row whose trials are those of the file before is kept, since a trial never changes."""
    path = study.folder / "paired.parquet"
    write_parquet(path, paired_table(study.store, finished, _known(path), study.spec.groups))


def paired_table(
    store: TrialStore,
    finished: Sequence[Finished],
    known: Sequence[dict[str, Any]] = (),
    groups: Sequence[TrialGroup] = (),
) -> pa.Table:
    """One row per family, scale, number of sets and metric. DataError: predictions of a pair are of other rows."""
    kept = {(tuple(row["trials"]), row["metric"]): row for row in known}
    rows: list[dict[str, Any]] = []
    for axes, pairs in _comparable(by_family(finished, groups)):
        trials = [pair[side][0].trial_id for side in (0, 1) for pair in pairs]
        found = {metric: kept.get((tuple(trials), metric)) for metric in METRICS}
        if not all(found.values()):
            found = _compare(store, pairs)
        rows += [{**(row or {}), **axes, "metric": metric, "trials": trials} for metric, row in found.items()]
    _test(rows)
    return pa.Table.from_pylist(rows, schema=PAIRED_SCHEMA)


def _test(rows: list[dict[str, Any]]) -> None:
    """Adds what differences become beside those of the other cells: intervals, p values, and p values corrected."""
    names = [field.name for field in fields(Difference)]
    for metric, better in METRICS.items():
        chosen = [row for row in rows if row["metric"] == metric]
        for _, members in groupby(chosen, key=lambda row: (row["family"], row["variant"])):
            cells = [(row, Difference(**{name: row[name] for name in names})) for row in members]
            noise = pooled_noise([cell for _, cell in cells])
            for row, cell in cells:
                row |= {"pooled_seed_std": noise.std if noise else None, **asdict(compare(cell, noise, better))}
        for row, adjusted in zip(chosen, holm([row["p_value"] for row in chosen]), strict=True):
            row["p_holm"] = adjusted


def _comparable(families: Sequence[FamilyTrials]) -> Iterator[tuple[dict[str, Any], Pairs]]:
    """Every multi-embedding cell with the single-embedding one of its scale, seed by seed."""
    for (family, variant), members in families:
        cells = cells_of(members)
        for (scale, num_sets), multi in cells.items():
            single = {trial[0].seed: trial for trial in cells.get((scale, 1), [])}
            pairs = [(single[trial[0].seed], trial) for trial in multi if trial[0].seed in single]
            if num_sets > 1 and pairs:
                yield {"family": family, "variant": variant, "scale": scale, "num_sets": num_sets}, pairs


def _compare(store: TrialStore, pairs: Pairs) -> dict[str, dict[str, Any] | None]:
    """Both metrics of one cell, by name of the metric."""
    single, multi = ([_scored(store, pair[side][0].trial_id) for pair in pairs] for side in (0, 1))
    for (_, _, expected), (_, _, labels) in zip(single, multi, strict=True):
        if not np.array_equal(labels, single[0][2]) or not np.array_equal(expected, single[0][2]):
            raise DataError(
                f"the predictions of {pairs[0][0][0].trial_id} and its pairs are of other test rows; expected the same "
                f"test split: run the trials again on one dataset"
            )
    aucs = np.array([[part.auc for part, _, _ in side] for side in (single, multi)])
    changes = [after.minus(before) for (before, _, _), (after, _, _) in zip(single, multi, strict=True)]
    losses = np.array([[loss.mean() for _, loss, _ in side] for side in (single, multi)])
    rows_TB = np.stack([after - before for (_, before, _), (_, after, _) in zip(single, multi, strict=True)])
    return {
        "test_auc": _row(aucs, delong_covariance(changes)),
        "test_log_loss": _row(losses, row_bootstrap(rows_TB)),
    }


def _row(values_2T: Array, covariance_TT: Array) -> dict[str, Any]:
    found = difference(values_2T[1] - values_2T[0], covariance_TT)
    return {"single": float(values_2T[0].mean()), "multi": float(values_2T[1].mean()), **asdict(found)}


def _scored(store: TrialStore, trial_id: str) -> tuple[Placements, Array, Array]:
    """Placements, row losses and labels of a trial's predictions."""
    predictions = store.read_predictions(trial_id)
    labels = predictions["label"].to_numpy()
    return placements(predictions["logit"].to_numpy(), labels), row_losses(predictions), labels


def _known(path: Location) -> list[dict[str, Any]]:
    """Rows that this version wrote; none where there is no such file."""
    if not path.is_file() or pq.read_schema(arrow_source(path)).metadata != VERSION:
        return []
    return read_parquet(path).to_pylist()  # type: ignore[no-any-return]
