"""The MLflow mirror on a real SQLite store: complete, idempotent, and never in the way."""

from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from recscale.records import TrialResult, TrialSpec
from recscale.study.mirror import Mirror
from recscale.study.store import TrialStore
from recscale.study.study import Study
from recscale.study.tracking import EXPERIMENT, PARENT_TAG, TRIAL_TAG, Tracker
from recscale.study.tracking_place import tracking_uri

Finish = Callable[[TrialStore, TrialSpec], TrialResult]


@pytest.fixture(autouse=True)
def _no_server_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def _runs(storage: Path) -> list[Run]:
    client = MlflowClient(tracking_uri(storage))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return list(client.search_runs([experiment.experiment_id]))


def test_a_study_is_a_parent_run_with_a_child_per_trial(study: Study, finish: Finish, tmp_path: Path) -> None:
    done, failed = study.spec.trials[:2]
    result = finish(study.store, done)
    study.store.write_error(failed.trial_id, "Traceback\nboom")
    for _ in range(2):  # the second time nothing changes
        tracker = Tracker(tmp_path, study.spec)
        for spec in (done, failed):
            tracker.log_trial(spec)
        tracker.end_study([tmp_path / "trials" / done.trial_id / "spec.json"], failed=1)
    runs = _runs(tmp_path)
    parent = next(run for run in runs if PARENT_TAG not in run.data.tags)
    children = {run.data.tags[TRIAL_TAG]: run for run in runs if TRIAL_TAG in run.data.tags}
    assert len(runs) == 3
    assert set(children) == {done.trial_id, failed.trial_id}
    assert {run.data.tags[PARENT_TAG] for run in children.values()} == {parent.info.run_id}
    child = children[done.trial_id]
    assert child.info.status == "FINISHED"
    assert children[failed.trial_id].info.status == parent.info.status == "FAILED"
    assert child.data.params["family"] == done.model.family
    assert child.data.params["learning_rate"] == "0.001"
    assert child.data.metrics["test_auc"] == result.test.auc
    assert child.data.metrics["ia_ratio_mean"] == result.collapse.ia_ratio_mean
    client = MlflowClient(tracking_uri(tmp_path))
    history = client.get_metric_history(child.info.run_id, "valid_auc")
    assert [(point.step, point.value) for point in history] == [(look.step, look.valid.auc) for look in result.history]
    artifacts = {item.path for item in client.list_artifacts(child.info.run_id)}
    assert artifacts == {"result.json", "spectra.arrow"}
    assert [item.path for item in client.list_artifacts(parent.info.run_id)] == ["spec.json"]


def test_a_mirror_without_a_server_keeps_a_note_and_sync_completes_it(
    study: Study, finish: Finish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mirror = Mirror(tmp_path, study.spec)
    spec = study.spec.trials[0]
    finish(study.store, spec)
    mirror.log_trial(spec)
    mirror.end_study([], failed=0)
    assert mirror.problem is not None
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    again = Mirror(tmp_path, study.spec)
    again.log_trial(spec)
    assert again.problem is None
    assert {run.data.tags.get(TRIAL_TAG) for run in _runs(tmp_path)} == {None, spec.trial_id}


def test_a_mirror_at_rest_leaves_mlflow_alone_until_something_differs(
    study: Study, finish: Finish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for spec in study.spec.trials:
        finish(study.store, spec)
    table, page = study.folder / "curves.json", study.folder / "report.html"
    study.folder.mkdir(exist_ok=True)
    table.write_text("[1]")
    page.write_text("at noon")

    def resting() -> Mirror:
        return Mirror(tmp_path, study.spec, resting=True)

    def opened() -> bool:
        """Whether the whole of a command that finds every trial finished opens MLflow."""
        opens: list[int] = []
        whole = Tracker.__init__
        with monkeypatch.context() as watched:
            watched.setattr(Tracker, "__init__", lambda *args: (opens.append(1), whole(*args))[1])
            mirror = resting()
            mirror.log_trial(study.spec.trials[0])
            mirror.end_study(study.files, failed=0)
        assert mirror.problem is None
        return bool(opens)

    first = Mirror(tmp_path, study.spec)
    for spec in study.spec.trials:
        first.log_trial(spec)
    first.end_study(study.files, failed=0)
    page.write_text("an hour later")
    assert not opened()
    assert resting().address == first.address
    table.write_text("[2]")
    assert opened()
    assert not opened()
    (parent,) = (run for run in _runs(tmp_path) if PARENT_TAG not in run.data.tags)
    artifacts = {item.path for item in MlflowClient(tracking_uri(tmp_path)).list_artifacts(parent.info.run_id)}
    assert artifacts == {"curves.json", "report.html"}
    (study.store.folder(study.spec.trials[0].trial_id) / "result.json").unlink()
    assert opened()
    assert not opened()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/elsewhere.db")
    assert opened()
