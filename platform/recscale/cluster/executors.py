"""Running many trials at once: what fits runs, the rest waits, and no trial's failure ends the others."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import ray
from ray.exceptions import RayError, RayTaskError

from recscale.cluster.jobs import EventKind, Outcome, OutcomeRef, TrialEvent, TrialJob, Work
from recscale.cluster.pool import PoolLauncher
from recscale.cluster.shares import ClusterInfo, Executor, check_shares, slots
from recscale.cluster.train import TrainLauncher
from recscale.cluster.worker import train_trial
from recscale.errors import ConfigError
from recscale.storage.filesystems import is_uri


class Launcher(Protocol):
    """Starts trials of one share and cleans up behind them."""

    def launch(self, job: TrialJob) -> OutcomeRef:
        """Starts the trial; the reference resolves to its Outcome."""

    def release(self, ref: OutcomeRef, job: TrialJob, outcome: Outcome) -> None:
        """Called once for a trial that ended with this outcome."""

    def bury(self, ref: OutcomeRef) -> None:
        """Called once for a process that is gone without an outcome."""

    def close(self) -> None:
        """Ends whatever still runs."""


@dataclass(frozen=True)
class Flight:
    """A trial under way."""

    job: TrialJob
    """The trial."""
    deaths: int
    """Processes that died under it."""
    started: float
    """Monotonic time of its first start."""


def run_jobs(
    jobs: Sequence[TrialJob],
    executor: Executor,
    info: ClusterInfo,
    max_retries: int = 1,
    work: Work = train_trial,
) -> Iterator[TrialEvent]:
    """Runs the trials, as many at once as the cluster holds, and yields what happens as it happens.

    A trial that raises is a failed event with its traceback. A trial whose process dies is started again up to
    `max_retries` times and resumes from its checkpoint. Trials of unlike shares run one share after the other. Closing
    the iterator ends what runs. Raises ConfigError, before anything starts, for what can never run.
    """
    _check(jobs, executor, info)
    return _run_by_share(jobs, executor, info, max_retries, work)


def _check(jobs: Sequence[TrialJob], executor: Executor, info: ClusterInfo) -> None:
    shares = dict.fromkeys(job.share for job in jobs)
    check_shares(shares, info)
    for share in shares:
        if executor is Executor.POOL and share.workers > 1:
            raise ConfigError(f"a trial's share is {share}, but executor pool runs one worker per trial; use train")
    for job in jobs:
        for path in (job.dataset_path, job.storage):
            if not is_uri(path) and not Path(path).is_absolute():
                raise ConfigError(f"got the path {path!r}, expected an absolute one: workers run in other folders")


def _run_by_share(
    jobs: Sequence[TrialJob], executor: Executor, info: ClusterInfo, max_retries: int, work: Work
) -> Iterator[TrialEvent]:
    for share in dict.fromkeys(job.share for job in jobs):
        launcher: Launcher = PoolLauncher(share, work)
        if executor is Executor.TRAIN:
            launcher = TrainLauncher(info.address, work, max_retries)
        same_share = [job for job in jobs if job.share == share]
        try:
            yield from _run(same_share, launcher, slots(share, info), max_retries)
        finally:
            launcher.close()


def _run(jobs: Sequence[TrialJob], launcher: Launcher, limit: int, max_retries: int) -> Iterator[TrialEvent]:
    waiting = deque(jobs)
    flights: dict[OutcomeRef, Flight] = {}
    while waiting or flights:
        while waiting and len(flights) < limit:
            job = waiting.popleft()
            flights[launcher.launch(job)] = Flight(job, deaths=0, started=time.monotonic())
            yield TrialEvent(EventKind.STARTED, job.trial_id, error=None, seconds=0.0)
        done, _ = ray.wait(list(flights), num_returns=1)
        flight = flights.pop(done[0])
        ending = _ending(done[0])
        if isinstance(ending, Outcome):
            launcher.release(done[0], flight.job, ending)
            yield _event(flight, ending)
            continue
        launcher.bury(done[0])
        if flight.deaths < max_retries:
            flights[launcher.launch(flight.job)] = replace(flight, deaths=flight.deaths + 1)
        else:
            died = f"the trial's process died {flight.deaths + 1} times, the last time by: {ending}"
            yield _event(flight, Outcome(error=died))


def _ending(ref: OutcomeRef) -> Outcome | RayError:
    """What the worker says, or the error by which Ray says that there is no worker any more."""
    try:
        outcome: Outcome = ray.get(ref)
    except RayTaskError as error:
        return Outcome(error=str(error))
    except RayError as error:
        return error
    return outcome


def _event(flight: Flight, outcome: Outcome) -> TrialEvent:
    kind = EventKind.FINISHED if outcome.error is None else EventKind.FAILED
    return TrialEvent(kind, flight.job.trial_id, outcome.error, time.monotonic() - flight.started)
