"""The MLflow server is killed while it takes a study: the study is whole, and sync completes the mirror."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from recscale.data.reader import Dataset
from recscale.study.tracking import EXPERIMENT, TRIAL_TAG
from tests.faults.driving import arguments, driver, family, lines, until

pytestmark = pytest.mark.slow
TRIALS = 6


def _port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _answers(uri: str) -> bool:
    with suppress(urllib.error.URLError, OSError):
        urllib.request.urlopen(f"{uri}/health", timeout=10).close()
        return True
    return False


@contextmanager
def _server(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """An MLflow server with a database in the folder."""
    store = ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "files")]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with open(folder / "server.log", "ab") as log:
        # Jobs are nothing that we use, and their files would stay in /dev/shm after a kill.
        alone = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        server = subprocess.Popen([*command, *store], stdout=log, stderr=log, cwd=folder, env=alone)
    try:
        until(lambda: _answers(f"http://127.0.0.1:{port}"), server)
        yield server
    finally:
        _kill(server)


def _kill(server: subprocess.Popen[bytes]) -> None:
    for pid in family(server.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    server.wait()


def _mirrored(uri: str) -> list[str]:
    """Trials whose runs are finished."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    return [run.data.tags[TRIAL_TAG] for run in runs if TRIAL_TAG in run.data.tags and run.info.status == "FINISHED"]


def test_a_server_killed_while_it_logs_costs_no_trial_and_sync_completes_it(
    small_dataset: Dataset, tmp_path: Path, local: dict[str, str]
) -> None:
    storage, port = tmp_path / "runs", _port()
    uri = f"http://127.0.0.1:{port}"
    environment = local | {"MLFLOW_TRACKING_URI": uri}
    command = arguments(small_dataset.path, storage, "--scales", "1", "2", "--seeds", str(TRIALS // 2))
    with _server(tmp_path, port) as server, driver(command, environment, tmp_path / "output") as process:
        until(lambda: [line for line in lines(storage) if line.kind == "end"], process)
        _kill(server)
        assert process.wait() == 0, (tmp_path / "output").read_text()
    said = (tmp_path / "output").read_text()
    assert "MLflow did not take everything" in said
    assert f"{TRIALS} of {TRIALS} trials finished" in said
    with _server(tmp_path, port):
        assert len(_mirrored(uri)) < TRIALS
        sync = [sys.executable, "-m", "recscale.cli", "sync", "tiny", "--storage", str(storage)]
        assert subprocess.run(sync, env=environment).returncode == 0
        mirrored = _mirrored(uri)
    assert len(mirrored) == len(set(mirrored)) == TRIALS
