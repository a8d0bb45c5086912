"""A study is told to stop: by SIGTERM, and by `ray job stop`; and its cluster is taken away from under it."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from recscale.data.reader import Dataset
from recscale.entry import TERMINATED
from tests.faults.driving import COUNTED, PATIENCE_SECONDS, TINY, arguments, driver, gone, lines, named, run, until

pytestmark = pytest.mark.slow
LONG = ("--scales", "1", "--seeds", "2", "--batch-size", "16", "--max-epochs", "40", "--patience", "40")


def _checkpoint(storage: Path) -> list[Path]:
    return list(storage.glob("trials/*/checkpoint/state.pt"))


def _resumes(storage: Path, before: int) -> None:
    """What was begun after that many lines went on from a checkpoint, and the study came to its end."""
    begun = [line for line in lines(storage)[before:] if line.kind == "begin"]
    assert len(begun) == 2
    assert any(line.epoch > 0 for line in begun)
    assert len(list(storage.glob("trials/*/result.json"))) == 2
    assert not list((storage / "claims").iterdir())


def test_sigterm_leaves_cleanly_with_status_143_and_the_same_command_goes_on(
    small_dataset: Dataset, tmp_path: Path, local: dict[str, str]
) -> None:
    storage = tmp_path / "runs"
    command = arguments(small_dataset.path, storage, *LONG)
    with driver(command, local, tmp_path / "output") as process:
        until(lambda: _checkpoint(storage), process)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == TERMINATED == 143
    said = (tmp_path / "output").read_text()
    assert said.endswith("stopped; the same command goes on from here\n")
    assert "Traceback" not in said
    assert gone(local)
    assert not list((storage / "claims").iterdir())
    assert _checkpoint(storage)
    before = len(lines(storage))
    again = run(command, local)
    assert again.returncode == 0, again.stderr
    _resumes(storage, before)


@pytest.mark.long
def test_ray_job_stop_leaves_cleanly_and_the_same_submission_goes_on(
    ray_head, checkout: Path, small_dataset: Dataset, tmp_path: Path
) -> None:
    storage = tmp_path / "runs"
    (checkout / "tests" / "faults").mkdir(parents=True, exist_ok=True)
    (checkout / "tests" / "faults" / "counted.py").write_text(COUNTED.read_text())
    place = ("--data", str(small_dataset.path), "--storage", str(storage), "--name", "tiny")
    command = ("python", "tests/faults/counted.py", *place, *TINY, *LONG)
    ray = [ray_head.python, "-m", "ray.scripts.scripts", "job"]
    there = ["--address", ray_head.dashboard]
    submission = [*ray, "submit", *there, "--submission-id", "study", "--working-dir", checkout, "--", *command]
    with subprocess.Popen(
        submission, env=ray_head.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as submitted:
        until(lambda: _checkpoint(storage), submitted)
        stop = subprocess.run([*ray, "stop", *there, "study"], env=ray_head.environment, capture_output=True)
        assert stop.returncode == 0, stop.stderr
        submitted.communicate()
    for question, answer in (("status", "stopped"), ("logs", "stopped; the same command goes on from here")):
        told = subprocess.run([*ray, question, *there, "study"], env=ray_head.environment, capture_output=True)
        assert answer in (told.stdout + told.stderr).decode()
    assert not list((storage / "claims").iterdir())
    before = len(lines(storage))
    again = ray_head.submit(checkout, *command)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "2 of 2 trials finished" in again.stdout
    _resumes(storage, before)


@pytest.mark.long
def test_a_driver_whose_raylet_is_killed_ends_and_the_same_command_goes_on(
    small_dataset: Dataset, tmp_path: Path, local: dict[str, str]
) -> None:
    """A machine that is its own cluster loses it; nothing hangs, and nothing of it is left running."""
    storage = tmp_path / "runs"
    command = arguments(small_dataset.path, storage, *LONG)
    with driver(command, local | {"HOLD": str(tmp_path)}, tmp_path / "output") as process:
        until(lambda: _checkpoint(storage), process)
        (raylet,) = named(process.pid, r"^\S*/raylet/raylet ")
        os.kill(raylet, signal.SIGKILL)
        assert process.wait(PATIENCE_SECONDS) == 1
    assert (tmp_path / "output").read_text().endswith("is gone; the same command goes on from here\n")
    assert gone(local)
    before = len(lines(storage))
    again = run(command, local)
    assert again.returncode == 0, again.stderr
    _resumes(storage, before)
