"""Properties of both executors on a real embedded cluster, with a stand-in for training that can fail in every way."""

import os
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from ray import cloudpickle
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayError

from recscale.cluster.executors import EveryTurn, run_jobs
from recscale.cluster.jobs import EventKind, Outcome, TrialEvent, TrialJob
from recscale.cluster.memory import out_of_memory
from recscale.cluster.shares import ClusterInfo, Executor, NodeShape, Share, default_executor
from recscale.errors import ConfigError, TrialError
from recscale.records import ModelSpec, TrainSpec, TrialSpec
from recscale.study.store import TrialStore
from recscale.study.turns import Turn
from recscale.training.checkpoints import Checkpoints

cloudpickle.register_pickle_by_value(sys.modules[__name__])

GOOD, RAISING, KILLED, CURSED, WAITING = "good", "raising", "killed", "cursed", "waiting"
WIDE, HUGE = "wide", "huge"
STEPS = 5
ONE_CPU = Share()


def stand_in(job: TrialJob, checkpoints: Checkpoints) -> dict[str, str]:
    """Counts to STEPS with a checkpoint at each; the family's name says what goes wrong after the third."""
    state = checkpoints.load()
    start = 0 if state is None else state["step"] + 1
    folder = Path(job.storage) / "log"
    with open(folder / f"{job.trial_id}.log", "a") as log:
        log.write(f"{os.getpid()} {start}\n")
    trouble = job.spec.model.family
    if trouble == RAISING:
        raise TrialError("the loss is nan")
    if trouble == HUGE or (trouble == WIDE and job.share.cpus < 2):
        bytearray(1 << 60)
    for step in range(start, STEPS):
        checkpoints.save({"step": step})
        if trouble == CURSED or (trouble == KILLED and start == 0 and step == 2):
            os.kill(os.getpid(), signal.SIGKILL)
        while trouble == WAITING and step == 2 and not (folder / "go").exists():
            time.sleep(0.05)
    (folder / f"{job.trial_id}.done").touch()
    return {}


def stacked_stand_in(job: TrialJob, checkpoints: Checkpoints) -> dict[str, str]:
    """Finishes one trial after the other; a family's name says what goes wrong in the last."""
    store = TrialStore(Path(job.storage))
    *first, last = job.specs
    with open(Path(job.storage) / "log" / f"{job.trial_id}.log", "a") as log:
        log.write(f"{len(job.specs)} {job.share.cpus:g}\n")
    for spec in first:
        store.folder(spec.trial_id).mkdir(parents=True, exist_ok=True)
        (store.folder(spec.trial_id) / "result.json").touch()
    trouble = job.spec.model.family
    if trouble == CURSED:
        os.kill(os.getpid(), signal.SIGKILL)
    if trouble == RAISING:
        return {last.trial_id: "TrialError: the loss is nan"}
    if trouble == WIDE and job.share.cpus < 2:
        bytearray(1 << 60)
    if trouble == HUGE:
        return {last.trial_id: "MemoryError: too small"}
    return {}


class Claimed(EveryTurn):
    """Of three trials one is ours, one is another driver's until it was waited for, one has ended elsewhere."""

    def __init__(self, theirs: str, ended: str) -> None:
        self.theirs, self.ended, self.given_up = theirs, ended, list[str]()

    def ask(self, trial_id: str) -> Turn:
        if trial_id == self.theirs:
            return Turn.THEIRS
        return Turn.ENDED if trial_id == self.ended else Turn.OURS

    def error(self, trial_id: str) -> str | None:
        return f"failed there: {trial_id}"

    def end(self, trial_id: str) -> None:
        self.given_up.append(trial_id)

    def pause(self) -> None:
        self.theirs = ""


def jobs_of(storage: Path, *families: str, share: Share = ONE_CPU) -> list[TrialJob]:
    (storage / "log").mkdir(exist_ok=True)
    return [
        TrialJob(TrialSpec("data", ModelSpec(family), TrainSpec(), seed), "/data", str(storage), share)
        for seed, family in enumerate(families)
    ]


def attempts(job: TrialJob) -> list[tuple[int, int]]:
    """Process id and first step of every attempt."""
    lines = (Path(job.storage) / "log" / f"{job.trial_id}.log").read_text().splitlines()
    return [(int(pid), int(start)) for pid, start in (line.split() for line in lines)]


def done(job: TrialJob) -> bool:
    return (Path(job.storage) / "log" / f"{job.trial_id}.done").exists()


def kinds(events: list[TrialEvent], job: TrialJob) -> list[EventKind]:
    return [event.kind for event in events if event.trial_id == job.trial_id]


def check_events(jobs: list[TrialJob], events: list[TrialEvent]) -> None:
    """Each trial is started once and ended once; an ending tells its time; only a failure has an error."""
    for job in jobs:
        start, end = (event for event in events if event.trial_id == job.trial_id)
        expected = EventKind.FAILED if job.spec.model.family in (RAISING, CURSED) else EventKind.FINISHED
        assert (start.kind, end.kind) == (EventKind.STARTED, expected)
        assert start.seconds == 0.0
        assert end.seconds > 0.0
        assert (end.error is not None) == (expected is EventKind.FAILED)
        assert done(job) == (expected is EventKind.FINISHED)
    assert len(events) == 2 * len(jobs)


def test_pool_outlives_every_kind_of_failure(embedded_cluster: ClusterInfo, tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, GOOD, RAISING, KILLED, GOOD, CURSED, GOOD, GOOD)
    events = list(run_jobs(jobs, Executor.POOL, embedded_cluster, max_retries=1, work=stand_in))
    check_events(jobs, events)
    errors = {event.trial_id: event.error for event in events if event.error}

    _, raising, killed, _, cursed, *_ = jobs
    assert "TrialError: the loss is nan" in errors[raising.trial_id]
    assert "in stand_in" in errors[raising.trial_id]
    assert len(attempts(raising)) == 1
    assert [start for _, start in attempts(killed)] == [0, 3]
    assert [start for _, start in attempts(cursed)] == [0, 1]
    assert "died 2 times" in errors[cursed.trial_id]

    pids = Counter(pid for job in jobs for pid, _ in attempts(job))
    assert len(pids) <= 2 + 3, "2 slots, and a new process for each of 3 deaths at most"
    assert max(pids.values()) > 1


def test_what_runs_out_of_memory_is_tried_once_with_twice_the_share(
    embedded_cluster: ClusterInfo, tmp_path: Path
) -> None:
    """Beside trials of other shares, which have to give way to the larger one."""
    twice = Share(cpus=2)
    jobs = jobs_of(tmp_path, HUGE, GOOD, WIDE, GOOD, HUGE, GOOD)
    jobs = [replace(job, larger=twice) for job in jobs[:-2]] + jobs[-2:]
    events = list(run_jobs(jobs, Executor.POOL, embedded_cluster, max_retries=1, work=stand_in))
    assert [len(attempts(job)) for job in jobs] == [2, 1, 2, 1, 1, 1]
    assert all(kinds(events, job)[0] is EventKind.STARTED and len(kinds(events, job)) == 2 for job in jobs)
    errors = {event.trial_id: event.error for event in events if event.error}
    assert errors.keys() == {jobs[0].trial_id, jobs[4].trial_id}
    lines = [errors[jobs[number].trial_id].splitlines() for number in (0, 4)]
    assert "MemoryError" in lines[0][-2]
    assert lines[0][-1].startswith("out of memory with a share of 1 CPU, and again with 2 CPU")
    assert lines[1][-1].startswith("out of memory with a share of 1 CPU, and there is no larger one")


@pytest.mark.parametrize(
    "error",
    [
        Outcome("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"),
        Outcome("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        Outcome(
            "RuntimeError: [enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"
        ),
        OutOfMemoryError("Task was killed due to the node running low on memory."),
    ],
)
def test_every_way_to_run_out_of_memory_is_seen(error: Outcome | RayError) -> None:
    assert out_of_memory(error)


@pytest.mark.parametrize("error", [Outcome(None), Outcome("TrialError: the loss is nan"), ActorDiedError()])
def test_nothing_else_is_taken_for_it(error: Outcome | RayError) -> None:
    assert not out_of_memory(error)


def test_train_restarts_a_dead_worker_from_its_checkpoint(embedded_cluster: ClusterInfo, tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, KILLED, RAISING)
    events = list(run_jobs(jobs, Executor.TRAIN, embedded_cluster, max_retries=1, work=stand_in))
    check_events(jobs, events)
    killed, raising = jobs
    (first, from_nothing), (second, resumed) = attempts(killed)
    assert (first != second, from_nothing) == (True, 0)
    assert 1 <= resumed <= 3
    assert not killed.ray_folder.exists()
    assert len(attempts(raising)) == 1, "what raises once raises again: it is not worth a retry"
    assert "TrialError: the loss is nan" in next(event.error for event in events if event.error)


@pytest.mark.parametrize("executor", list(Executor))
def test_closing_frees_the_share_and_the_next_run_resumes(
    embedded_cluster: ClusterInfo, ray_head: object, tmp_path: Path, executor: Executor
) -> None:
    """With another cluster on the same machine, which must not confuse what cleans up."""
    jobs = jobs_of(tmp_path, WAITING)
    events = run_jobs(jobs, executor, embedded_cluster, work=stand_in)
    assert next(events).kind is EventKind.STARTED
    kept = (jobs[0].ray_folder, "checkpoint_manager_snapshot.json")
    if executor is Executor.POOL:
        kept = (tmp_path / "trials" / jobs[0].trial_id / "checkpoint", "state.pt")
    while not (kept[0] / kept[1]).exists():
        time.sleep(0.05)
    events.close()
    assert ray.get(ray.remote(num_cpus=2)(lambda: True).remote(), timeout=60)

    (tmp_path / "log" / "go").touch()
    check_events(jobs, list(run_jobs(jobs, executor, embedded_cluster, work=stand_in)))
    (_, first), (_, second) = attempts(jobs[0])
    assert (first, second > 0) == (0, True)


def stack_of(storage: Path, family: str, **settings: object) -> TrialJob:
    """Three seeds in one job."""
    (storage / "log").mkdir(exist_ok=True)
    first, *others = (TrialSpec("data", ModelSpec(family), TrainSpec(), seed) for seed in range(3))
    return replace(TrialJob(first, "/data", str(storage), ONE_CPU, None, tuple(others)), **settings)


def check_seeds(jobs: list[TrialJob], events: list[TrialEvent]) -> dict[str, str]:
    """Each of three seeds is started and ended; only the last of a job with trouble fails. The errors, by trial."""
    assert len(events) == 2 * 3 * len(jobs)
    errors = {event.trial_id: event.error for event in events if event.error}
    for job in jobs:
        for spec in job.specs:
            start, end = (event for event in events if event.trial_id == spec.trial_id)
            failed = job.spec.model.family in (RAISING, CURSED, HUGE) and spec is job.specs[-1]
            assert (start.kind, end.kind) == (EventKind.STARTED, EventKind.FAILED if failed else EventKind.FINISHED)
            assert (spec.trial_id in errors) == failed
    return errors


def test_seeds_of_one_process_end_each_for_itself(embedded_cluster: ClusterInfo, tmp_path: Path) -> None:
    """Whatever ends the last of three, what two had finished before stands."""
    jobs = [stack_of(tmp_path, family) for family in (GOOD, RAISING, CURSED)]
    jobs += [stack_of(tmp_path, family, larger=Share(cpus=2)) for family in (WIDE, HUGE)]
    errors = check_seeds(jobs, list(run_jobs(jobs, Executor.POOL, embedded_cluster, work=stacked_stand_in)))
    _, raising, cursed, _, huge = (job.specs[-1].trial_id for job in jobs)
    assert "the loss is nan" in errors[raising]
    assert "died 2 times" in errors[cursed]
    assert "out of memory with a share of 1 CPU, and again with 2 CPU" in errors[huge]
    alone, twice = [(3, 1)], [(3, 1), (3, 2)]
    assert [attempts(job) for job in jobs] == [alone, alone, alone * 2, twice, twice]


def test_seeds_of_one_ray_train_run_end_each_for_itself(embedded_cluster: ClusterInfo, tmp_path: Path) -> None:
    jobs = [stack_of(tmp_path, family) for family in (GOOD, RAISING)]
    errors = check_seeds(jobs, list(run_jobs(jobs, Executor.TRAIN, embedded_cluster, work=stacked_stand_in)))
    assert "the loss is nan" in errors[jobs[1].specs[-1].trial_id]
    assert not any(job.ray_folder.exists() for job in jobs)


def test_seeds_that_another_driver_has_leave_their_stack(embedded_cluster: ClusterInfo, tmp_path: Path) -> None:
    job = stack_of(tmp_path, GOOD)
    ours, theirs, ended = (spec.trial_id for spec in job.specs)
    turns = Claimed(theirs, ended)
    events = list(run_jobs([job], Executor.POOL, embedded_cluster, work=stacked_stand_in, turns=turns))
    seen = [(event.kind, event.trial_id) for event in events]
    assert seen == [
        (EventKind.ELSEWHERE, ended),
        (EventKind.STARTED, ours),
        (EventKind.FINISHED, ours),
        (EventKind.AWAITED, theirs),
        (EventKind.STARTED, theirs),
        (EventKind.FINISHED, theirs),
    ]
    assert events[0].error == f"failed there: {ended}"
    assert turns.given_up == [ours, theirs]


def test_what_can_never_run_is_refused_before_anything_starts(tmp_path: Path) -> None:
    info = ClusterInfo(2, 0, 1, "127.0.0.1:1", started_here=True, shapes=(NodeShape(2, 0),))
    for share, executor, message in (
        (Share(cpus=3), Executor.POOL, "a trial's share is 3 CPU, but the cluster at 127.0.0.1:1 has 2 CPUs"),
        (Share(gpus=1), Executor.TRAIN, "1 CPU [+] 1 GPU, but the cluster .* has 2 CPUs and 0 GPUs"),
        (Share(workers=2), Executor.POOL, "executor pool runs one worker per trial; use train"),
    ):
        with pytest.raises(ConfigError, match=message):
            run_jobs(jobs_of(tmp_path, GOOD, share=share), executor, info, work=stand_in)
    relative = [TrialJob(job.spec, "data", job.storage, job.share) for job in jobs_of(tmp_path, GOOD)]
    with pytest.raises(ConfigError, match="'data', expected an absolute one"):
        run_jobs(relative, Executor.POOL, info, work=stand_in)


def test_default_executor_pays_for_a_full_run_only_where_it_is_needed() -> None:
    assert default_executor([Share(cpus=4)]) is Executor.POOL
    assert default_executor([Share(), Share(gpus=0.25)]) is Executor.TRAIN
    assert default_executor([Share(workers=2)]) is Executor.TRAIN
