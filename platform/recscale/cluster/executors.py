"""Running many trials at once: what fits runs, the rest waits, and no trial's failure ends the others."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import ray
from ray.exceptions import RayError, RayTaskError

from recscale.cluster.jobs import BegunRef, EventKind, Launched, Outcome, OutcomeRef, TrialEvent, TrialJob, Work
from recscale.cluster.memory import out_of_memory, ran_out
from recscale.cluster.packing import Line
from recscale.cluster.pool import PoolLauncher
from recscale.cluster.shares import ClusterInfo, Executor, Share, check_shares
from recscale.cluster.train import TrainLauncher
from recscale.cluster.worker import train_trial
from recscale.errors import ConfigError
from recscale.storage.filesystems import is_uri
from recscale.storage.location import location
from recscale.study.store import TrialStatus, TrialStore
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
    """Starts trials and cleans up behind them."""

    def launch(self, job: TrialJob) -> Launched:
        """Hands the trial to Ray."""

    def release(self, ref: OutcomeRef, job: TrialJob, outcome: Outcome) -> None:
        """Called once for a trial that ended with this outcome."""

    def bury(self, ref: OutcomeRef) -> None:
        """Called once for a process that is gone without an outcome."""

    def drop_idle(self) -> None:
        """Gives back what is held for trials to come; called when none of those that wait can use it."""

    def close(self) -> None:
        """Ends whatever still runs."""


@dataclass(frozen=True)
class Flight:
    """A job that was started."""

    job: TrialJob
    """The job."""
    started: float
    """Monotonic time of its first start."""
    deaths: int = 0
    """Processes that died under it."""
    too_small: Share | None = None
    """The share with which it ran out of memory before."""


def run_jobs(
    jobs: Sequence[TrialJob],
    executor: Executor,
    info: ClusterInfo,
    max_retries: int = 1,
    work: Work = train_trial,
    turns: Turns = ALONE,
) -> Iterator[TrialEvent]:
    """Runs the jobs, in this order as far as their shares fit beside each other, and yields what happens to each trial.

    A trial that raises is a failed event with its traceback. A trial whose process dies is started again up to
    `max_retries` times and resumes from its checkpoint; one that runs out of memory is started once more, with its
    larger share. A trial that another driver holds is left to it, and taken over where that one is gone. Closing the
    iterator ends what runs. Raises ConfigError, before anything starts, for what never can.
    """
    _check(jobs, executor, info)
    return _run_on(jobs, executor, info, max_retries, work, turns)


def _check(jobs: Sequence[TrialJob], executor: Executor, info: ClusterInfo) -> None:
    shares = dict.fromkeys(share for job in jobs for share in (job.share, job.larger) if share is not None)
    check_shares(shares, info)
    for share in shares:
        if executor is Executor.POOL and share.workers > 1:
            raise ConfigError(f"a trial's share is {share}, but executor pool runs one worker per trial; use train")
    for job in jobs:
        for path in (job.dataset_path, job.storage):
            if not is_uri(path) and not Path(path).is_absolute():
                raise ConfigError(f"got the path {path!r}, expected an absolute one: workers run in other folders")


def _run_on(
    jobs: Sequence[TrialJob], executor: Executor, info: ClusterInfo, max_retries: int, work: Work, turns: Turns
) -> Iterator[TrialEvent]:
    launcher: Launcher = PoolLauncher(work)
    if executor is Executor.TRAIN:
        launcher = TrainLauncher(info.address, work, max_retries)
    try:
        yield from run_line(Line(jobs, info.shapes), launcher, max_retries, turns)
    finally:
        launcher.close()


def run_line(line: Line[TrialJob], launcher: Launcher, max_retries: int, turns: Turns = ALONE) -> Iterator[TrialEvent]:
    """Hands trials over as the line has it, until the last has ended, here or elsewhere."""
    flights: dict[OutcomeRef, Flight] = {}
    beginnings: dict[BegunRef, TrialJob] = {}
    again: dict[str, Flight] = {}
    theirs: list[TrialJob] = []
    awaited: set[str] = set()

    def launch(flight: Flight) -> None:
        launched = launcher.launch(flight.job)
        flights[launched.outcome] = flight
        if launched.begun is None:
            line.begun(flight.job)
        else:
            beginnings[launched.begun] = flight.job

    while len(line) or theirs or flights:
        while theirs:
            line.put_last(theirs.pop(0))
        while (job := line.next()) is not None:
            if flight := again.pop(job.trial_id, None):
                launch(replace(flight, job=job))
                continue
            asked = [(spec, turns.ask(spec.trial_id)) for spec in job.specs]
            ours = [spec for spec, turn in asked if turn is Turn.OURS]
            if len(ours) == len(asked):
                launch(Flight(job, started=time.monotonic()))
                for spec in ours:
                    yield TrialEvent(EventKind.STARTED, spec.trial_id, error=None, seconds=0.0)
                continue
            line.ended(job)
            if ours:
                line.put_first(job.of(ours))
            for spec, turn in asked:
                if turn is Turn.THEIRS:
                    theirs.append(job.of([spec]))
                elif turn is Turn.ENDED:
                    error = turns.error(spec.trial_id)
                    yield TrialEvent(EventKind.ELSEWHERE, spec.trial_id, error, seconds=0.0)
        launcher.drop_idle()
        if not flights:
            for trial_id in (job.trial_id for job in theirs if job.trial_id not in awaited):
                awaited.add(trial_id)
                yield TrialEvent(EventKind.AWAITED, trial_id, error=None, seconds=0.0)
            if theirs:
                turns.pause()
            continue
        done, _ = ray.wait([*beginnings, *flights], num_returns=1, timeout=LOOK_SECONDS if theirs else None)
        for ready in done:
            if ready in beginnings:
                line.begun(beginnings.pop(ready))
                continue
            flight = flights.pop(ready)
            ending = _ending(ready)
            if isinstance(ending, Outcome):
                launcher.release(ready, flight.job, ending)
            else:
                launcher.bury(ready)
            if out_of_memory(ending) and flight.job.larger and flight.too_small is None:
                larger = replace(flight.job, share=flight.job.larger, larger=None)
                again[larger.trial_id] = replace(flight, job=larger, too_small=flight.job.share)
                line.ended(flight.job)
                line.put_first(larger)
            elif isinstance(ending, RayError) and not out_of_memory(ending) and flight.deaths < max_retries:
                line.lost(flight.job)
                launch(replace(flight, deaths=flight.deaths + 1))
            else:
                line.ended(flight.job)
                for spec in flight.job.specs:
                    yield _event(flight, spec.trial_id, ending)
                    turns.end(spec.trial_id)


def _ending(ref: OutcomeRef) -> Outcome | RayError:
    """What the worker says, or the error by which Ray says that there is no worker any more."""
    try:
        outcome: Outcome = ray.get(ref)
    except RayTaskError as error:
        return Outcome(error=str(error))
    except RayError as error:
        return error
    return outcome


def _event(flight: Flight, trial_id: str, ending: Outcome | RayError) -> TrialEvent:
    error = _error(flight.job, trial_id, ending)
    if error is not None and out_of_memory(ending):
        error = f"{error.rstrip()}\n{ran_out(flight.too_small, flight.job.share)}"
    elif error is not None and isinstance(ending, RayError):
        error = f"the trial's process died {flight.deaths + 1} times, the last time by: {error}"
    kind = EventKind.FINISHED if error is None else EventKind.FAILED
    return TrialEvent(kind, trial_id, error, time.monotonic() - flight.started)


def _error(job: TrialJob, trial_id: str, ending: Outcome | RayError) -> str | None:
    """What one of the job's trials failed by; those of several that had finished before the rest failed have not."""
    if isinstance(ending, Outcome) and ending.error is None:
        return ending.failed.get(trial_id)
    if job.others and TrialStore(location(job.storage)).status(trial_id) is TrialStatus.FINISHED:
        return None
    return ending.error if isinstance(ending, Outcome) else str(ending)
