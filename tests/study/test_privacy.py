"""The privacy table: a row per finished trial that kept its predictions, with its axes and how the data were split."""

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from recscale import cli
from recscale.data.manifest import Manifest, SourceInfo
from recscale.data.reader import Dataset
from recscale.records import DatasetRef, TrialResult, TrialSpec
from recscale.study.files import arrow_bytes
from recscale.study.privacy import privacy_table, split_note, write_privacy
from recscale.study.store import TrialStore
from recscale.study.study import Study, write_study
from recscale.study.trial import run_trial
from recscale.training.checkpoints import FolderCheckpoints
from recscale.training.membership import Predictions, measure_membership

Finish = Callable[[TrialStore, TrialSpec], TrialResult]


def test_a_row_is_the_attack_on_the_stored_predictions(study: Study, finish: Finish, small_dataset: Dataset) -> None:
    spec, other, old = study.spec.trials[:3]
    for each in (spec, other, old):
        finish(study.store, each)
    table = study.store.read_train_predictions(spec.trial_id)
    label_R = table["label"].to_numpy()
    logit_R = (2.0 * label_R - 1).astype(np.float32)
    leaky = table.set_column(0, "logit", [logit_R])
    folder = study.store.folder(spec.trial_id)
    (folder / "train_predictions.arrow").write_bytes(arrow_bytes(leaky))
    (study.store.folder(old.trial_id) / "train_predictions.arrow").unlink()

    path = write_privacy(study)
    rows = {row["trial_id"]: row for row in pq.read_table(path).to_pylist()}
    assert set(rows) == {spec.trial_id, other.trial_id}
    test = study.store.read_predictions(spec.trial_id)
    expected = measure_membership(
        Predictions(logit_R, label_R), Predictions(test["logit"].to_numpy(), test["label"].to_numpy())
    )
    row = rows[spec.trial_id]
    assert (row["family"], row["scale"], row["seed"]) == (spec.model.family, spec.model.scale, spec.seed)
    assert (row["attack_auc"], row["loss_gap"]) == (expected.attack.value, expected.loss_gap)
    assert row["within_label_auc"] == 1.0
    assert row["detected"] == [each.detected for each in expected.detections] == [1.0, 1.0]
    assert rows[other.trial_id]["attack_auc"] == 0.5
    assert rows[other.trial_id]["median_p"] == [0.5, 0.5]
    assert row["split_note"] == split_note(small_dataset.manifest)


@pytest.mark.usefixtures("one_thread")
def test_a_trained_study_shows_what_it_gives_away_where_it_is_asked(study: Study, small_dataset: Dataset) -> None:
    spec = study.spec.trials[0]
    checkpoints = FolderCheckpoints(study.store.checkpoint_folder(spec.trial_id))
    run_trial(spec, str(small_dataset.path), study.storage, checkpoints, torch.device("cpu"))
    write_study(study)
    _report(study)
    assert not (study.folder / "privacy.parquet").exists()
    assert "<h2>Privacy</h2>" not in (study.folder / "report.html").read_text()
    _report(study, "--privacy")
    (row,) = pq.read_table(study.folder / "privacy.parquet").to_pylist()
    assert row["rows"] == small_dataset.split("test").rows
    assert abs(row["within_label_auc"] - 0.5) < 4 * row["within_label_noise"]
    page = (study.folder / "report.html").read_text()
    assert "<h2>Privacy</h2>" in page
    assert "Train and test were split at random" in page


def _report(study: Study, *more: str) -> None:
    """`recscale report` as a user types it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["recscale", "report", str(study.folder), *more])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert not ended.value.code


def test_a_study_of_which_nothing_has_finished_has_an_empty_table(study: Study) -> None:
    axis = tuple(replace(spec, train=replace(spec.train, train_fraction=0.5)) for spec in study.spec.trials)
    wider = replace(study, spec=replace(study.spec, trials=study.spec.trials + axis), costs=study.costs * 2)
    table = privacy_table(wider)
    assert table.num_rows == 0
    assert "train_fraction" in table.schema.names


def test_a_dataset_that_is_gone_is_said(study: Study, finish: Finish, small_dataset: Dataset) -> None:
    finish(study.store, study.spec.trials[0])
    gone = replace(study, spec=replace(study.spec, dataset=DatasetRef("/nowhere", "0")))
    assert "no readable dataset at /nowhere" in privacy_table(gone).to_pylist()[0]["split_note"]


@pytest.mark.parametrize(
    ("kind", "files", "options", "words"),
    [
        ("table", 1, (("split_by", "date"),), "by the column 'date'"),
        ("table", 1, (("split_by", "null"),), "at random"),
        ("table", 3, (("split_by", "null"),), "may have come as separate files"),
        ("libsvm", 3, (), "may have come as separate files"),
        ("criteo", 24, (), "at random"),
    ],
)
def test_how_the_data_were_split_is_read_from_the_manifest(
    kind: str, files: int, options: tuple[tuple[str, str], ...], words: str, small_dataset: Dataset
) -> None:
    source = SourceInfo(kind, tuple(f"{number}.csv" for number in range(files)), 10, 0, 0)
    manifest: Manifest = replace(small_dataset.manifest, source=source, options=options)
    assert words in split_note(manifest)
