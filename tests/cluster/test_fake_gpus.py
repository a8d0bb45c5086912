"""Trials of unlike shares on a real Ray cluster of 4 machines with 2 pretended GPUs each, run by fake_gpus.py."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from recscale.cluster.simulation import TrialTime, simulate
from tests.cluster.conftest import ROOT, free_ports
from tests.cluster.fake_gpus import MACHINES, SECONDS, TRIALS, packed_jobs, pool_jobs

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Stay:
    """What a trial saw of its share."""

    machine: str
    """Ray's id of the machine."""
    gpus: list[str]
    """Its GPUs, by number on that machine."""
    start: float
    """Monotonic seconds."""
    end: float
    """Monotonic seconds."""


@pytest.fixture(scope="module")
def both_runs(short_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what the runs left."""
    folder = tmp_path_factory.mktemp("fake")
    ours = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    own = {
        "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}",
        "RAY_AUTH_MODE": "disabled",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_TMPDIR": str(short_folder),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    command = [sys.executable, "-m", "tests.cluster.fake_gpus", folder, *map(str, free_ports(2))]
    subprocess.run(command, cwd=ROOT, env={**ours, **own}, check=True)
    return folder


def test_200_trials_of_mixed_shares_are_packed_legally_and_all_end(both_runs: Path) -> None:
    events = json.loads((both_runs / "packed").read_text())
    assert [event["kind"] for event in events].count("finished") == len(TRIALS) == 200
    logs = [both_runs / f"{job.trial_id}.json" for job in packed_jobs(both_runs)]
    stays = {trial: Stay(**json.loads(log.read_text())) for trial, log in zip(TRIALS, logs, strict=True)}
    assert len({stay.machine for stay in stays.values()}) == 4
    _check_legal(stays)

    planned = simulate(TRIALS, MACHINES)
    wall = max(stay.end for stay in stays.values()) - min(stay.start for stay in stays.values())
    held = sum((stay.end - stay.start) * trial.share.gpus for trial, stay in stays.items())
    print(
        f"200 trials, 4 x 2 GPUs: simulated makespan {planned.makespan / planned.lower_bound:.3f} of the lower bound, "
        f"utilisation {planned.utilisation:.3f}; real {wall / SECONDS / planned.lower_bound:.3f} of it, "
        f"utilisation {held / (8 * wall):.3f}, at {SECONDS} s for a second and with processes started in it"
    )
    assert planned.makespan < 1.2 * planned.lower_bound


def _check_legal(stays: dict[TrialTime, Stay]) -> None:
    """Whenever a trial began, no GPU was given away more than once; fractions were of one GPU."""
    for trial, stay in stays.items():
        assert len(stay.gpus) == max(1, trial.share.gpus)
        held: dict[tuple[str, str], float] = {}
        for other, there in stays.items():
            if there.start <= stay.start < there.end:
                for gpu in there.gpus:
                    held[there.machine, gpu] = held.get((there.machine, gpu), 0.0) + min(other.share.gpus, 1.0)
        assert max(held.values()) <= 1 + 1e-9


def test_the_pool_holds_shares_and_doubles_them(both_runs: Path) -> None:
    """Of the executors only the pool: Ray Train sets up NCCL where a worker has a GPU, and there is none."""
    events = json.loads((both_runs / "pool").read_text())
    ends = {event["trial_id"]: event for event in events if event["kind"] != "started"}
    jobs = pool_jobs(both_runs)
    assert [ends[job.trial_id]["kind"] for job in jobs] == ["finished", "failed", "finished", "finished"]
    lines = [(both_runs / f"{job.trial_id}.log").read_text().split() for job in jobs]
    assert [line[::2] for line in lines] == [["0.25", "0.5"], ["0.125", "0.25"], ["2"], ["0.125"]]
    assert lines[2][1] == "0,1"
    assert all(gpu in ("0", "1") for line in (lines[0], lines[1], lines[3]) for gpu in line[1::2])
    assert (
        ends[jobs[1].trial_id]["error"]
        .splitlines()[-1]
        .startswith("out of memory with a share of 1 CPU + 0.125 GPU, and again with 1 CPU + 0.25 GPU")
    )
