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
from recscale.study.turns import Turn

LOOK_SECONDS = 2.0
"""How often what others train is looked at while something runs here."""


class Turns(Protocol):
    """Says whose turn a trial is; study.turns.Turns where several drivers may run the same study."""

    def ask(self, trial_id: str) -> Turn:
        """Asked before the trial is started, and again later where it is theirs."""

    def error(self, trial_id: str) -> str | None:
        """What a trial that ended elsewhere failed by, None where it is finished."""

    def end(self, trial_id: str) -> None:
        """Called once for a trial that was ours, after its ending has been taken note of."""

    def pause(self) -> None:
        """Waits until it is worth asking again."""


class EveryTurn:
    """The turns of a driver that has the storage to itself."""

    def ask(self, trial_id: str) -> Turn:
        """Always ours."""
        return Turn.OURS

    def error(self, trial_id: str) -> str | None:
        """Nothing ends elsewhere."""
        return None

    def end(self, trial_id: str) -> None:
        """Nobody waits for it."""

    def pause(self) -> None:
        """Never needed."""


ALONE = EveryTurn()


class Launcher(Protocol):
    """Starts trials of one share and cleans up behind them."""

    def launch(self, job: TrialJob) -> OutcomeRef:
        """Starts the trial; the reference resolves to its Outcome."""

    def release(self, ref: OutcomeRef, job: TrialJob, outcome: Outcome) -> None:
        """Called once for a trial that ended with this outcome."""

    def bury(self, ref: OutcomeRef) -> None:
        """Called once for a process that is gone without an outcome."""

    def trim(self) -> None:
        """Called where no trial waits to be started: gives back what is kept for another, since one may lack it."""

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
    turns: Turns = ALONE,
) -> Iterator[TrialEvent]:
    """Runs the trials, as many at once as the cluster holds, and yields what happens as it happens.

    A trial that raises is a failed event with its traceback. A trial whose process dies is started again up to
    `max_retries` times and resumes from its checkpoint. A trial that another driver holds is left to it, and taken over
    where that one is gone. Trials of unlike shares run one share after the other. Closing the iterator ends what runs.
    Raises ConfigError, before anything starts, for what can never run.
    """
    _check(jobs, executor, info)
    return _run_by_share(jobs, executor, info, max_retries, work, turns)


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
    jobs: Sequence[TrialJob], executor: Executor, info: ClusterInfo, max_retries: int, work: Work, turns: Turns
) -> Iterator[TrialEvent]:
    for share in dict.fromkeys(job.share for job in jobs):
        launcher: Launcher = PoolLauncher(share, work)
        if executor is Executor.TRAIN:
            launcher = TrainLauncher(info.address, work, max_retries)
        same_share = [job for job in jobs if job.share == share]
        try:
            yield from _run(same_share, launcher, slots(share, info), max_retries, turns)
        finally:
            launcher.close()


def _run(
    jobs: Sequence[TrialJob], launcher: Launcher, limit: int, max_retries: int, turns: Turns
) -> Iterator[TrialEvent]:
    waiting = deque(jobs)
    flights: dict[OutcomeRef, Flight] = {}
    awaited: set[str] = set()
    while waiting or flights:
        for _ in range(len(waiting)):
            if len(flights) >= limit:
                break
            job = waiting.popleft()
            turn = turns.ask(job.trial_id)
            if turn is Turn.OURS:
                flights[launcher.launch(job)] = Flight(job, deaths=0, started=time.monotonic())
                yield TrialEvent(EventKind.STARTED, job.trial_id, error=None, seconds=0.0)
            elif turn is Turn.ENDED:
                yield TrialEvent(EventKind.ELSEWHERE, job.trial_id, turns.error(job.trial_id), seconds=0.0)
            else:
                waiting.append(job)
        if not waiting:
            launcher.trim()
        if flights:
            wanted = LOOK_SECONDS if waiting and len(flights) < limit else None
            for ref in ray.wait(list(flights), timeout=wanted)[0]:
                yield from _land(ref, flights, launcher, max_retries, turns)
        elif waiting:
            for trial_id in (job.trial_id for job in waiting if job.trial_id not in awaited):
                awaited.add(trial_id)
                yield TrialEvent(EventKind.AWAITED, trial_id, error=None, seconds=0.0)
            turns.pause()


def _land(
    ref: OutcomeRef, flights: dict[OutcomeRef, Flight], launcher: Launcher, max_retries: int, turns: Turns
) -> Iterator[TrialEvent]:
    """The end of a flight; or its next start, where its process died and may do so again."""
    flight, ending = flights.pop(ref), _ending(ref)
    if isinstance(ending, Outcome):
        launcher.release(ref, flight.job, ending)
    else:
        launcher.bury(ref)
        if flight.deaths < max_retries:
            flights[launcher.launch(flight.job)] = replace(flight, deaths=flight.deaths + 1)
            return
        died = f"the trial's process died {flight.deaths + 1} times, the last time by: {ending}"
        ending = Outcome(error=died)
    yield _event(flight, ending)
    turns.end(flight.job.trial_id)


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
