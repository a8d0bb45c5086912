"""Trials of unlike shares on a real Ray cluster of four machines with two GPUs each; only the GPUs are not there."""

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import ray
from ray import cloudpickle
from ray.cluster_utils import Cluster

from recscale.cluster.executors import run_jobs, run_line
from recscale.cluster.gate import Begun, open_gate
from recscale.cluster.jobs import EventKind, Launched, Outcome, OutcomeRef, TrialJob
from recscale.cluster.packing import Line
from recscale.cluster.shares import ClusterInfo, Executor, NodeShape, Share
from recscale.cluster.simulation import TrialTime, simulate
from recscale.records import ModelSpec, TrainSpec, TrialSpec
from recscale.training.checkpoints import Checkpoints
from tests.cluster.conftest import free_ports
from tests.cluster.test_packing import SHARES, mixed

cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.slow

MACHINES = (NodeShape(16, 2),) * 4
SECONDS = 1 / 100
"""What a second of a simulated trial takes here."""


@dataclass(frozen=True)
class Stay:
    """What a trial saw of its share."""

    machine: str
    """Ray's id of the machine."""
    gpus: tuple[str, ...]
    """Its GPUs, by number on that machine."""
    start: float
    """Monotonic seconds."""
    end: float
    """Monotonic seconds."""


def hold(seconds: float, begun: Begun, log: str) -> Outcome:
    """A trial that only holds its share, in a process without torch, and writes down what it saw."""
    begun.tell()
    start = time.monotonic()
    time.sleep(seconds)
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    seen = {
        "pid": os.getpid(),
        "machine": ray.get_runtime_context().get_node_id(),
        "gpus": gpus,
        "start": start,
        "end": time.monotonic(),
    }
    Path(log).write_text(json.dumps(seen))
    return Outcome(error=None)


class TaskLauncher:
    """Hands trials to Ray as tasks, whose processes are reused: 200 real trainings would take hours on two cores."""

    def __init__(self, seconds: dict[str, float], folder: Path) -> None:
        self._seconds, self._folder = seconds, folder
        self._task = ray.remote(max_calls=0, max_retries=0)(hold)
        self._gate = open_gate()
        self._number = 0

    def launch(self, job: TrialJob) -> Launched:
        self._number += 1
        log = str(self._folder / f"{job.trial_id}.json")
        held = self._task.options(num_cpus=job.share.cpus, num_gpus=job.share.gpus)
        begun = Begun(self._gate, self._number)
        return Launched(held.remote(self._seconds[job.trial_id], begun, log), begun.ref())

    def release(self, ref: OutcomeRef, job: TrialJob, outcome: Outcome) -> None: ...

    def bury(self, ref: OutcomeRef) -> None:
        raise AssertionError("a trial's process died")

    def drop_idle(self) -> None: ...

    def close(self) -> None:
        ray.kill(self._gate)


def remember(job: TrialJob, checkpoints: Checkpoints) -> None:
    """Work of a real executor: writes down the share and the GPU, or runs out of memory on less than a half."""
    with open(Path(job.storage) / f"{job.trial_id}.log", "a") as log:
        log.write(f"{job.share.gpus:g} {os.environ.get('CUDA_VISIBLE_DEVICES')}\n")
    if job.spec.model.family == "wide" and job.share.gpus < 1 / 2:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.fixture(scope="module")
def four_machines(short_folder: Path) -> Iterator[ClusterInfo]:
    """4 machines x 2 GPUs as processes of this one, on loopback addresses of their own where Ray wants them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", str(short_folder))
        patch.delenv("RAY_ADDRESS", raising=False)
        shape = {"num_cpus": 16, "num_gpus": 2, "object_store_memory": 80_000_000}
        port, dashboard_port = free_ports(2)
        head = {**shape, "gcs_server_port": port, "include_dashboard": True, "dashboard_port": dashboard_port}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(3):
            cluster.add_node(**shape)
        ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
        try:
            yield ClusterInfo(64, 8, 4, cluster.address, started_here=False, shapes=MACHINES)
        finally:
            ray.shutdown()
            cluster.shutdown()


def job_of(number: int, share: Share, storage: Path, family: str = "dnn", larger: Share | None = None) -> TrialJob:
    return TrialJob(TrialSpec("data", ModelSpec(family), TrainSpec(), number), "/data", str(storage), share, larger)


def test_200_trials_of_mixed_shares_are_packed_legally_and_all_end(four_machines: ClusterInfo, tmp_path: Path) -> None:
    trials = sorted(mixed(200, seed=3, shares=SHARES[:5]), key=lambda trial: -trial.seconds)
    jobs = {trial: job_of(trial.number, trial.share, tmp_path) for trial in trials}
    launcher = TaskLauncher({job.trial_id: trial.seconds * SECONDS for trial, job in jobs.items()}, tmp_path)
    events = list(run_line(Line(jobs.values(), MACHINES), launcher, max_retries=0))
    launcher.close()
    assert sum(event.kind is EventKind.FINISHED for event in events) == 200
    stays = {trial: _read(tmp_path / f"{job.trial_id}.json") for trial, job in jobs.items()}
    assert len({stay.machine for stay in stays.values()}) == 4
    _check_legal(stays)

    planned = simulate(trials, MACHINES)
    wall = max(stay.end for stay in stays.values()) - min(stay.start for stay in stays.values())
    held = sum((stay.end - stay.start) * trial.share.gpus for trial, stay in stays.items())
    print(
        f"200 trials, 4 x 2 GPUs: simulated makespan {planned.makespan / planned.lower_bound:.3f} of the lower bound, "
        f"utilisation {planned.utilisation:.3f}; real {wall / SECONDS / planned.lower_bound:.3f} of it, "
        f"utilisation {held / (8 * wall):.3f}, at {SECONDS} s for a second"
    )
    assert planned.makespan < 1.2 * planned.lower_bound


def _read(path: Path) -> Stay:
    seen = json.loads(path.read_text())
    return Stay(seen["machine"], tuple(seen["gpus"]), seen["start"], seen["end"])


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


def test_the_pool_holds_shares_and_doubles_them(four_machines: ClusterInfo, tmp_path: Path) -> None:
    """Of the executors only the pool: Ray Train sets up NCCL where a worker has a GPU, and there is none."""
    eighth, quarter, half, two = (Share(gpus=part) for part in (1 / 8, 1 / 4, 1 / 2, 2))
    jobs = [
        job_of(0, quarter, tmp_path, "wide", larger=half),
        job_of(1, eighth, tmp_path, "wide", larger=quarter),
        job_of(2, two, tmp_path),
        job_of(3, eighth, tmp_path),
    ]
    events = list(run_jobs(jobs, Executor.POOL, four_machines, work=remember))
    ends = {event.trial_id: event for event in events if event.kind is not EventKind.STARTED}
    problems = "\n".join(event.error for event in ends.values() if event.error)
    finished = [ends[job.trial_id].kind is EventKind.FINISHED for job in jobs]
    assert finished == [True, False, True, True], problems
    lines = [(tmp_path / f"{job.trial_id}.log").read_text().split() for job in jobs]
    assert [line[::2] for line in lines] == [["0.25", "0.5"], ["0.125", "0.25"], ["2"], ["0.125"]]
    assert lines[2][1] == "0,1"
    assert all(gpu in ("0", "1") for line in (lines[0], lines[1], lines[3]) for gpu in line[1::2])
    error = ends[jobs[1].trial_id].error
    assert error is not None
    assert error.splitlines()[-1].startswith(
        "out of memory with a share of 1 CPU + 0.125 GPU, and again with 1 CPU + 0.25 GPU"
    )
