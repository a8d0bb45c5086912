"""The privacy table of a study: membership inference on every finished trial, computed only where it is asked for."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recscale.data.manifest import Manifest, read_manifest
from recscale.errors import DataError
from recscale.storage.location import Location, location, write_atomic
from recscale.study.results import further_axes, trials_table
from recscale.study.study import Study
from recscale.training.membership import Membership, Predictions, measure_membership

AXES = ("trial_id", "family", "variant", "arm", "scale", "num_sets", "seed")
MEASURED = pa.schema(
    [
        ("rows", pa.int64()),
        ("attack_auc", pa.float64()),
        ("attack_noise", pa.float64()),
        ("within_label_auc", pa.float64()),
        ("within_label_noise", pa.float64()),
        ("loss_gap", pa.float64()),
        ("collection_rows", pa.list_(pa.int64())),
        ("detected", pa.list_(pa.float64())),
        ("median_p", pa.list_(pa.float64())),
        ("split_note", pa.string()),
    ]
)
"""Columns of privacy.parquet after the trial's axes; recscale.training.membership says what they mean."""
FILES_PER_SPLIT = ("table", "libsvm")
"""Formats whose splits may come as separate files, three at least."""


def write_privacy(study: Study) -> Location:
    """Writes privacy.parquet, one row per finished trial that kept its predictions on rows trained on; its path."""
    sink = pa.BufferOutputStream()
    pq.write_table(privacy_table(study), sink)
    path = study.folder / "privacy.parquet"
    write_atomic(path, sink.getvalue().to_pybytes())
    return path


def privacy_table(study: Study) -> pa.Table:
    """AXES and the study's further axes, then MEASURED."""
    trials, results = trials_table(study)
    axes = trials.select([*AXES, *further_axes(study.spec.trials)])
    note = _split_note(study)
    measured = {trial_id: _attack(study, trial_id) for trial_id in results}
    rows = [
        {**row, **_columns(found), "split_note": note}
        for row in axes.to_pylist()
        if (found := measured.get(row["trial_id"])) is not None
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema([*axes.schema, *MEASURED]))


def _attack(study: Study, trial_id: str) -> Membership | None:
    """None where the trial finished before predictions on rows trained on were kept."""
    members = study.store.read_train_predictions(trial_id)
    if members is None:
        return None
    return measure_membership(_predictions(members), _predictions(study.store.read_predictions(trial_id)))


def _predictions(table: pa.Table) -> Predictions:
    logit_R, label_R = (np.asarray(table.column(name)) for name in ("logit", "label"))
    return Predictions(logit_R, label_R)


def _columns(found: Membership) -> dict[str, Any]:
    return {
        "rows": found.rows,
        "attack_auc": found.attack.value,
        "attack_noise": found.attack.noise,
        "within_label_auc": found.within_label.value,
        "within_label_noise": found.within_label.noise,
        "loss_gap": found.loss_gap,
        "collection_rows": [each.rows for each in found.detections],
        "detected": [each.detected for each in found.detections],
        "median_p": [each.median_p for each in found.detections],
    }


def _split_note(study: Study) -> str:
    """How train and test were split, in a sentence, as the dataset's manifest says."""
    path = study.spec.dataset.path
    try:
        return split_note(read_manifest(location(path)))
    except DataError:
        return f"How train and test were split is unknown: there is no readable dataset at {path} any more."


def split_note(manifest: Manifest) -> str:
    """What beside training may tell train from test rows of a dataset, in a sentence."""
    column = dict(manifest.options).get("split_by", "null")
    if column != "null":
        return (
            f"Train and test were split by the column {column!r}, not at random: where that is a time, the attack "
            f"picks up drift as well as membership, and the two cannot be told apart."
        )
    if manifest.source.format in FILES_PER_SPLIT and len(manifest.source.files) >= 3:
        return (
            "Train and test may have come as separate files: where those differ in time, the attack picks up drift as "
            "well as membership, and the two cannot be told apart."
        )
    return (
        "Train and test were split at random: nothing tells their rows apart but having been trained on, and counted "
        "for the vocabularies."
    )
