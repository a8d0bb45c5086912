"""A study in a real S3 server: the same tables and pages as on a disk, and nothing half is ever read as finished."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mlflow.tracking import MlflowClient

from dashboards.compare import write_comparison
from dashboards.index import write_index
from dashboards.pages import write_page
from recscale.data.reader import Dataset
from recscale.errors import ConfigError, DataError
from recscale.records import TrialResult, TrialSpec, to_plain
from recscale.serve.pages import Pages
from recscale.storage.location import location, write_atomic
from recscale.study.catalog import write_catalog
from recscale.study.mirror import sync_study
from recscale.study.results import OUTPUTS, write_results
from recscale.study.status import study_status
from recscale.study.store import TrialStatus, TrialStore
from recscale.study.study import Study, find_study, read_study, write_study
from recscale.study.tracking import EXPERIMENT, TRIAL_TAG
from recscale.study.tracking_place import tracking_note, tracking_uri
from recscale.study.trial import run_trial
from recscale.training.checkpoints import checkpoints_in
from tests.storage.servers import Fault, FaultyProxy

Finish = Callable[[TrialStore, TrialSpec], TrialResult]
TRAIN = """
import sys, torch
from recscale.records import TrialSpec, from_json
from recscale.study.store import TrialStore
from recscale.study.trial import run_trial
from recscale.storage.location import location, write_atomic
from recscale.training.checkpoints import checkpoints_in
storage, data, spec = sys.argv[1], sys.argv[2], from_json(TrialSpec, sys.argv[3].encode(), "argument")
torch.set_num_threads(1)
folder = TrialStore(location(storage)).checkpoint_folder(spec.trial_id)
run_trial(spec, data, storage, checkpoints_in(folder), torch.device("cpu"))
"""


@pytest.fixture
def remote(study: Study, bucket: str) -> Study:
    """The study, in the bucket."""
    return replace(study, storage=f"{bucket}/runs")


def test_tables_and_pages_are_those_of_a_local_study(study: Study, remote: Study, finish: Finish) -> None:
    for spec in study.spec.trials[:6]:
        finish(study.store, spec)
    study.store.write_error(study.spec.trials[6].trial_id, "Traceback\nboom")
    local = Path(study.storage)
    for path in local.rglob("*.*"):
        write_atomic(location(remote.storage) / path.relative_to(local).as_posix(), path.read_bytes())
    for each in (study, remote):
        write_study(each)
        write_results(each)
        assert read_study(each.folder) == each
    assert study_status(remote) == study_status(study)
    assert study_status(remote).finished == 6
    for name in OUTPUTS:
        assert (remote.folder / name).read_bytes() == (study.folder / name).read_bytes(), name
    pages = [write_page("scaling", each.folder) for each in (study, remote)]
    assert str(pages[1]) == f"{remote.storage}/quick/report.html"
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_every_command_finds_a_remote_study(remote: Study, finish: Finish) -> None:
    storage = location(remote.storage)
    write_study(remote)
    for spec in remote.spec.trials[:2]:
        finish(remote.store, spec)
    write_results(remote)
    assert find_study("quick", storage) == find_study(str(remote.folder), location("runs")) == remote.folder
    with pytest.raises(ConfigError, match=r"no study 'slow'.*studies in s3://.*/runs: quick"):
        find_study("slow", storage)
    entries = json.loads(write_catalog(storage).read_bytes())
    assert [(entry["name"], entry["finished"], entry["missing"]) for entry in entries] == [("quick", 2, 18)]
    assert b"quick" in write_index(storage).read_bytes()
    page = write_comparison([remote.folder, remote.folder], storage / "compare.html")
    assert page.read_bytes().startswith(b"<!doctype html>")


def test_a_served_page_follows_a_remote_store(remote: Study, finish: Finish) -> None:
    write_study(remote)
    pages = Pages(location(remote.storage), write_page)
    found = pages.study("quick")
    assert found == remote
    assert pages.study("../quick") is None
    finish(remote.store, remote.spec.trials[0])
    assert b"1 finished" in pages.report(remote)
    assert pages.standing(remote).finished == 1


@pytest.mark.slow
def test_mlflow_takes_a_remote_study_into_the_current_folder(
    remote: Study, finish: Finish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_study(remote)
    result = finish(remote.store, remote.spec.trials[0])
    storage = location(remote.storage)
    assert tracking_uri(storage) == f"sqlite:///{tmp_path}/here/mlflow.db"
    assert tracking_uri(storage) in tracking_note(storage)
    assert tracking_note(tmp_path) == ""
    assert sync_study(remote) is None
    client = MlflowClient(tracking_uri(storage))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id], f"tags.`{TRIAL_TAG}` = '{result.trial_id}'")
    assert [run.info.status for run in runs] == ["FINISHED"]
    assert {"result.json", "spectra.arrow"} <= {file.path for file in client.list_artifacts(runs[0].info.run_id)}


@pytest.mark.parametrize("fault", [Fault.CUT_UPLOAD, Fault.ERROR_403])
def test_a_result_that_cannot_be_written_is_not_finished(
    fault: Fault, remote: Study, finish: Finish, faulty: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    spec = remote.spec.trials[0]
    faulty.fail(fault, "PUT", "/result.json", times=100)
    with pytest.raises(DataError, match=r"cannot write s3://.*/result\.json"):
        finish(remote.store, spec)
    assert remote.store.status(spec.trial_id) is TrialStatus.MISSING
    assert faulty.seen("PUT", "/result.json") == (1 if fault is Fault.ERROR_403 else 2)


def test_a_result_arrives_through_faults_and_is_written_last(
    remote: Study, finish: Finish, faulty: FaultyProxy
) -> None:
    faulty.latency = 0.005
    spec = remote.spec.trials[0]
    faulty.fail(Fault.ERROR_503, "PUT", "/result.json")
    faulty.fail(Fault.RESET_AFTER, "PUT", "/spectra.arrow")
    faulty.fail(Fault.ERROR_500, "GET", "/result.json")
    result = finish(remote.store, spec)
    assert remote.store.read_results([spec.trial_id]) == {spec.trial_id: result}
    written = [line.rsplit("/", 1)[1] for line in faulty.requests if line.startswith("PUT ")]
    assert [name for name in dict.fromkeys(written) if name][-1] == "result.json"


@pytest.mark.slow
def test_a_trial_killed_while_it_writes_goes_on_from_its_checkpoint_to_the_same_bits(
    remote: Study, small_dataset: Dataset, faulty: FaultyProxy, tmp_path: Path, one_thread: None
) -> None:
    """The checkpoint is whole where its successor's upload is cut; result.json is not there where its own is."""
    spec = replace(remote.spec.trials[0], train=replace(remote.spec.trials[0].train, max_epochs=3))
    storage, data = remote.storage, str(small_dataset.path)
    told = json.dumps(to_plain(spec))
    for path in ("/checkpoint/state.pt", "/result.json"):
        rule = faulty.fail(Fault.HOLD, "PUT", path)
        with subprocess.Popen([sys.executable, "-c", TRAIN, storage, data, told]) as process:
            assert rule.met.wait(120)
            process.send_signal(signal.SIGKILL)
        assert remote.store.status(spec.trial_id) is TrialStatus.MISSING
    checkpoints = checkpoints_in(remote.store.checkpoint_folder(spec.trial_id))
    assert checkpoints.load() is not None
    run_trial(spec, data, storage, checkpoints, torch.device("cpu"))
    run_trial(spec, data, str(tmp_path), checkpoints_in(tmp_path / "state"), torch.device("cpu"))
    local = TrialStore(tmp_path)
    assert remote.store.read_predictions(spec.trial_id) == local.read_predictions(spec.trial_id)
    assert remote.store.read_spectra(spec.trial_id) == local.read_spectra(spec.trial_id)
    assert checkpoints.load() is None


def test_a_broken_checkpoint_is_named(remote: Study) -> None:
    folder = remote.store.checkpoint_folder("abc")
    checkpoints = checkpoints_in(folder)
    assert checkpoints.load() is None
    checkpoints.save({"step": 3})
    assert checkpoints.load() == {"step": 3}
    (folder / "state.pt").write_bytes(b"nothing")  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"s3://.*/state\.pt is no readable checkpoint"):
        checkpoints.load()
