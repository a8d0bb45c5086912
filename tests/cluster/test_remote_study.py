"""Whole studies on a real S3 server, with latency and faults, killed and resumed: by both executors, and joined."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from recscale.data.mirror import published
from recscale.data.reader import Dataset
from recscale.data.synthetic import write_synthetic
from recscale.storage.location import Location, location, modified_ns
from recscale.study.results import OUTPUTS
from recscale.study.store import TrialStatus, TrialStore
from recscale.study.study import read_study
from recscale.study.trial import run_trial
from recscale.training.checkpoints import checkpoints_in
from tests.storage.servers import Fault, FaultyProxy

ROOT = Path(__file__).resolve().parents[2]
TINY = ("--hidden-sizes", "8", "--batch-size", "256", "--families", "dnn", "--name", "tiny", "--sets", "1")
pytestmark = pytest.mark.slow


@pytest.fixture
def environment(short_folder: Path) -> dict[str, str]:
    """Environment of a user with no cluster, once `bucket` and `faulty` have set the way to the store."""
    return {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | {
        "RAY_TMPDIR": str(short_folder),
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture
def data(bucket: str) -> str:
    """URI of the embedded world with 6,000 rows."""
    with published(f"{bucket}/data/small") as folder:
        write_synthetic(folder, rows=6_000, seed=1)
    return f"{bucket}/data/small"


def _command(data: str, storage: str, *more: str) -> list[str]:
    return [sys.executable, str(ROOT / "studies/scaling.py"), "--data", data, "--storage", storage, *TINY, *more]


def _run(command: list[str], environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)


def _finished(storage: Location) -> dict[str, int]:
    """When each finished trial's result was written."""
    return {path.parent.name: modified_ns(path) for path in (storage / "trials").glob("*/result.json")}


def test_a_study_in_a_store_is_killed_and_resumed(
    data: str, bucket: str, faulty: FaultyProxy, environment: dict[str, str], tmp_path: Path
) -> None:
    environment |= {"AWS_ENDPOINT_URL": f"http://{faulty.address}"}
    faulty.latency = 0.002
    rules = [
        faulty.fail(Fault.ERROR_503, "PUT", "/result.json", times=2),
        faulty.fail(Fault.RESET_AFTER, "PUT", "/state.pt", times=2),
        faulty.fail(Fault.CUT_ANSWER, "GET", "/train/00000.arrow"),
        faulty.fail(Fault.ERROR_500, "GET", "/manifest.json"),
    ]
    storage = location(f"{bucket}/runs")
    command = _command(data, str(storage), "--scales", "1", "2", "--seeds", "4", "--max-epochs", "2")
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE) as driver:
        assert driver.stderr is not None
        seen = b""
        while b"trials 2/8" not in seen:
            piece = driver.stderr.read1()
            assert piece, seen.decode()
            seen += piece
        driver.send_signal(signal.SIGKILL)
    before = _finished(storage)
    assert 2 <= len(before) < 8
    assert not (storage / "tiny" / "trials.parquet").exists()

    again = _run(command, environment, tmp_path)
    assert again.returncode == 0, again.stderr
    assert f"sqlite:///{tmp_path}/mlflow.db" in again.stdout
    after = _finished(storage)
    assert len(after) == 8
    assert before.items() <= after.items()
    assert {path.name for path in (storage / "tiny").iterdir()} == {
        "study.json",
        "report.html",
        "mirrored.json",
        *OUTPUTS,
    }
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", "mlflow-artifacts"}
    assert all(rule.met.is_set() for rule in rules)


def test_ray_train_resumes_from_a_checkpoint_in_the_store(
    data: str, bucket: str, faulty: FaultyProxy, environment: dict[str, str], tmp_path: Path, one_thread: None
) -> None:
    """Killed while the second checkpoint is half uploaded; the first is what the next run begins with."""
    environment |= {"AWS_ENDPOINT_URL": f"http://{faulty.address}"}
    storage = location(f"{bucket}/runs")
    more = ("--executor", "train", "--scales", "1", "--seeds", "1", "--max-epochs", "3")
    command = _command(data, str(storage), *more)
    rule = faulty.fail(Fault.HOLD, "PUT", "/state.pt?partNumber", passed=1)
    with subprocess.Popen(command, env=environment, cwd=tmp_path) as driver:
        assert rule.met.wait(180)
        driver.send_signal(signal.SIGKILL)
    study = read_study(storage / "tiny")
    (spec,) = study.spec.trials
    assert study.store.status(spec.trial_id) is TrialStatus.MISSING
    assert len(list((storage / "ray" / spec.trial_id).glob("*/state.pt"))) == 1
    assert faulty.seen("GET", "/state.pt") == 0

    again = _run(command, environment, tmp_path)
    assert again.returncode == 0, again.stderr
    assert faulty.seen("GET", "/state.pt") > 0
    assert study.store.status(spec.trial_id) is TrialStatus.FINISHED
    assert not (storage / "ray" / spec.trial_id).exists()
    run_trial(spec, data, str(tmp_path), checkpoints_in(tmp_path / "state"), torch.device("cpu"))
    assert study.store.read_predictions(spec.trial_id) == TrialStore(tmp_path).read_predictions(spec.trial_id)


def test_workers_of_a_joined_cluster_find_the_store(
    ray_head, checkout: Path, data: str, bucket: str, tmp_path: Path
) -> None:
    """The cluster's own processes know nothing of the store; only the driver's environment does."""
    told = {name: os.environ[name] for name in os.environ if name.startswith(("AWS_", "RECSCALE_"))}
    assert not told.keys() & {"AWS_ENDPOINT_URL"} & ray_head.environment.keys()
    command = _command(data, f"{bucket}/runs", "--scales", "1", "--seeds", "2", "--max-epochs", "1")
    command[:2] = [str(ray_head.python), str(checkout / "studies/scaling.py")]
    environment = ray_head.environment | told | {"RAY_ADDRESS": ray_head.address}
    study = _run(command, environment, tmp_path)
    assert study.returncode == 0, study.stdout + study.stderr
    assert len(_finished(location(f"{bucket}/runs"))) == 2
    assert Dataset.open(data).ref().path == data
