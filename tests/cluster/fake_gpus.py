"""Runs trials of unlike shares on a real Ray cluster of four machines with two GPUs each; only the GPUs are not there.

A process of its own, since one process has one Ray: `python -m tests.cluster.fake_gpus FOLDER`. It leaves what
every trial saw, and what happened in both runs.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from recscale.cluster.executors import run_jobs, run_line
from recscale.cluster.gate import Begun, open_gate
from recscale.cluster.jobs import Launched, Outcome, OutcomeRef, TrialEvent, TrialJob
from recscale.cluster.packing import Line
from recscale.cluster.shares import ClusterInfo, Executor, NodeShape, Share
from recscale.cluster.simulation import longest_first
from recscale.records import ModelSpec, TrainSpec, TrialSpec, to_plain
from recscale.training.checkpoints import Checkpoints
from tests.cluster.test_packing import SHARES, mixed

MACHINES = (NodeShape(16, 2),) * 4
TRIALS = longest_first(mixed(200, seed=3, shares=SHARES[:5]))
"""Shares from an eighth of a GPU to two."""
SECONDS = 1 / 100
"""What a second of a simulated trial takes here."""


def hold(seconds: float, begun: Begun, log: str) -> Outcome:
    """A trial that only holds its share, in a process without torch, and writes down what it saw."""
    begun.tell()
    start = time.monotonic()
    time.sleep(seconds)
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    seen = {
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


def remember(job: TrialJob, checkpoints: Checkpoints) -> dict[str, str]:
    """Work of a real executor: writes down the share and the GPU, or runs out of memory on less than a half."""
    with open(Path(job.storage) / f"{job.trial_id}.log", "a") as log:
        log.write(f"{job.share.gpus:g} {os.environ.get('CUDA_VISIBLE_DEVICES')}\n")
    if job.spec.model.family == "wide" and job.share.gpus < 1 / 2:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    return {}


@contextmanager
def four_machines() -> Iterator[ClusterInfo]:
    """4 machines x 2 GPUs as processes of this one."""
    shape = {"num_cpus": 16, "num_gpus": 2, "object_store_memory": 80_000_000}
    port, dashboard_port = map(int, sys.argv[2:])
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
    """A trial told from others by its number."""
    return TrialJob(TrialSpec("data", ModelSpec(family), TrainSpec(), number), "/data", str(storage), share, larger)


def packed_jobs(folder: Path) -> list[TrialJob]:
    """The 200 trials, in TRIALS' order."""
    return [job_of(trial.number, trial.share, folder) for trial in TRIALS]


def pool_jobs(folder: Path) -> list[TrialJob]:
    """Two that need half a GPU, of which one is never given it, one of two GPUs, and one of an eighth."""
    eighth, quarter, half, two = (Share(gpus=part) for part in (1 / 8, 1 / 4, 1 / 2, 2))
    return [
        job_of(0, quarter, folder, "wide", larger=half),
        job_of(1, eighth, folder, "wide", larger=quarter),
        job_of(2, two, folder),
        job_of(3, eighth, folder),
    ]


def main(folder: Path) -> None:
    """Both runs, one after the other."""
    with four_machines() as info:
        jobs = packed_jobs(folder)
        times = {job.trial_id: trial.seconds * SECONDS for job, trial in zip(jobs, TRIALS, strict=True)}
        launcher = TaskLauncher(times, folder)
        _write(folder / "packed", run_line(Line(jobs, MACHINES), launcher, max_retries=0))
        launcher.close()
        _write(folder / "pool", run_jobs(pool_jobs(folder), Executor.POOL, info, work=remember))


def _write(path: Path, events: Iterable[TrialEvent]) -> None:
    path.write_text(json.dumps([to_plain(event) for event in events]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
