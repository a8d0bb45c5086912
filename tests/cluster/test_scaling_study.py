"""The scaling study as a user runs it: embedded, joined by address, inside a submitted job; killed and resumed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recscale.data.reader import Dataset
from recscale.study.machine import gpu_driver
from recscale.study.results import OUTPUTS

ROOT = Path(__file__).resolve().parents[2]
TINY = ("--hidden-sizes", "8", "--batch-size", "256", "--max-epochs", "1", "--families", "dnn", "--name", "tiny")


def _arguments(dataset: Dataset, storage: Path, *more: str) -> list[str]:
    return ["studies/scaling.py", "--data", str(dataset.path), "--storage", str(storage), *TINY, *more]


@pytest.fixture
def local(short_folder: Path) -> dict[str, str]:
    """Environment of a user with no cluster and no MLflow server."""
    ours = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI")}
    return ours | {"RAY_TMPDIR": str(short_folder)}


def _run(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def _finished(storage: Path) -> dict[str, int]:
    """When each finished trial's result was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in storage.glob("trials/*/result.json")}


def _rows(storage: Path) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pq.read_table(storage / "tiny" / "trials.parquet").to_pylist()
    return rows


@pytest.mark.parametrize("stacked", ["1", pytest.param("3", marks=pytest.mark.slow)])
def test_a_killed_study_loses_only_what_ran_and_a_larger_grid_adds_only_what_is_new(
    stacked: str, small_dataset: Dataset, tmp_path: Path, local: dict[str, str]
) -> None:
    grid = ("--scales", "1", "2", "--sets", "1", "--seeds", "6", "--stacked-seeds", stacked)
    arguments = _arguments(small_dataset, tmp_path, *grid)
    driver = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=local, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert driver.stderr is not None
    seen = b""
    while b"trials 2/12" not in seen:
        piece = driver.stderr.read1()
        assert piece, seen.decode()
        seen += piece
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    driver.stderr.close()
    before = _finished(tmp_path)
    assert 2 <= len(before) < 12
    assert not (tmp_path / "tiny" / "trials.parquet").exists()
    assert list((tmp_path / "claims").iterdir())

    again = _run(arguments, local)
    assert again.returncode == 0, again.stderr
    assert "another driver" not in again.stderr, "what a dead process of this machine held is not waited for"
    assert not list((tmp_path / "claims").iterdir())
    after = _finished(tmp_path)
    assert len(after) == 12
    assert before.items() <= after.items()

    wider = ("--scales", "1", "2", "--sets", "1", "2", "--seeds", "6", "--privacy")
    larger = _run(_arguments(small_dataset, tmp_path, *wider), local)
    assert larger.returncode == 0, larger.stderr
    assert after.items() <= _finished(tmp_path).items()
    rows = _rows(tmp_path)
    assert {(row["scale"], row["num_sets"]) for row in rows} == {(1.0, 1), (1.0, 2), (2.0, 1), (2.0, 2)}
    assert {row["status"] for row in rows} == {"finished"}
    made = {"study.json", "report.html", "privacy.parquet", "mirrored.json", *OUTPUTS}
    assert {path.name for path in (tmp_path / "tiny").iterdir()} == made
    assert (tmp_path / "mlflow.db").exists()

    rested = _run(["-X", "importtime", *_arguments(small_dataset, tmp_path, *wider[:-1])], local)
    assert rested.returncode == 0, rested.stderr
    loaded = {line.rpartition("|")[2].strip() for line in rested.stderr.splitlines() if line.startswith("import time")}
    assert "recscale.study.ensembles" in loaded
    assert not loaded & {"ray", "mlflow"}, "nothing is left to schedule or to log"
    assert gpu_driver() or "torch" not in loaded, "nothing is left to train"


def test_a_failed_trial_is_a_row_with_its_traceback_and_is_tried_again(
    small_dataset: Dataset, tmp_path: Path, local: dict[str, str]
) -> None:
    arguments = _arguments(small_dataset, tmp_path, "--scales", "1", "--sets", "1", "--seeds", "1")
    arguments += ["--axes", "learning_rate=1e-3,1e30"]
    study = _run(arguments, local)
    assert study.returncode == 1
    assert "1 of 2 trials finished" in study.stdout
    rows = {row["learning_rate"]: row for row in _rows(tmp_path)}
    assert rows["0.001"]["status"] == "finished"
    assert rows["1e+30"]["status"] == "failed"
    error = str(rows["1e+30"]["error"])
    assert "Traceback" in error
    assert "TrialError: training loss is nan at step" in error

    kept = _finished(tmp_path)
    assert _run(arguments, local).returncode == 1
    assert _finished(tmp_path) == kept
    status = subprocess.run(
        [sys.executable, "-m", "recscale.cli", "status", "tiny", "--storage", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert status.returncode == 1
    assert "tiny: 2 trials, 1 finished, 1 failed, 0 missing" in status.stdout


def test_a_plan_launches_and_writes_nothing(small_dataset: Dataset, tmp_path: Path, local: dict[str, str]) -> None:
    plan = _run(_arguments(small_dataset, tmp_path / "runs", "--plan", "--scales", "1", "2", "--sets", "1", "3"), local)
    assert plan.returncode == 0, plan.stderr
    assert "4 trials, 0 finished, 2 points refused" in plan.stdout
    assert "refused: dnn at scale 1 with 3 sets" in plan.stdout
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--families", "nope"), "error: unknown family 'nope'; expected one of"),
        (("--name", "a/b"), "error: study name 'a/b' cannot be used"),
        (("--axes", "learning_rate"), "error: axis 'learning_rate' is not FIELD=VALUE"),
        (("--cpus-per-trial", "5000"), "error: a trial's share is 5000 CPU"),
        (("--data", "/nowhere"), "error: /nowhere is not a prepared dataset"),
        (("--base-seeds", "1"), "error: --base-seeds 1 is fewer than --seeds 2"),
    ],
)
def test_bad_input_is_one_line_and_status_1(
    more: tuple[str, ...], message: str, small_dataset: Dataset, tmp_path: Path, local: dict[str, str]
) -> None:
    refused = _run([*_arguments(small_dataset, tmp_path / "runs"), *more, "--plan"], local)
    assert refused.returncode == 1
    assert refused.stderr.startswith(message)
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_on_an_existing_cluster_by_its_address(
    ray_head, checkout: Path, small_dataset: Dataset, tmp_path: Path
) -> None:
    arguments = _arguments(small_dataset, tmp_path, "--scales", "1", "--sets", "1", "--seeds", "2")
    study = subprocess.run(
        [ray_head.python, *arguments],
        cwd=checkout,
        env=ray_head.environment | {"RAY_ADDRESS": ray_head.address},
        capture_output=True,
        text=True,
    )
    assert study.returncode == 0, study.stderr
    assert {row["status"] for row in _rows(tmp_path)} == {"finished"}
    provenance = json.loads((tmp_path / "tiny" / "provenance.json").read_text())
    assert provenance["cluster"] == "1 nodes, 2 CPUs, 0 GPUs, joined"


def test_inside_a_submitted_job_on_nodes_without_the_package(
    ray_head, checkout: Path, small_dataset: Dataset, tmp_path: Path
) -> None:
    arguments = _arguments(small_dataset, tmp_path, "--scales", "1", "--sets", "1", "--seeds", "2")
    job = ray_head.submit(checkout, "python", *arguments)
    assert job.returncode == 0, job.stdout + job.stderr
    assert "2 of 2 trials finished" in job.stdout
    assert (tmp_path / "tiny" / "report.html").exists()
    assert {row["status"] for row in _rows(tmp_path)} == {"finished"}
