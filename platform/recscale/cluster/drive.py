"""Drives a study from its plan to its last trial: Ray runs, the store remembers, MLflow mirrors, the user watches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recscale.cluster.jobs import EventKind, TrialEvent, TrialJob
from recscale.cluster.shares import ClusterInfo, Executor
from recscale.cluster.stacking import Stack
from recscale.errors import DataError
from recscale.study.claims import Claims
from recscale.study.mirror import Mirror
from recscale.study.plan import Plan
from recscale.study.progress import Progress
from recscale.study.store import TrialStatus
from recscale.study.study import Study
from recscale.study.turns import Turns


@dataclass(frozen=True)
class Drive:
    """How a study's trials are run."""

    executor: Executor
    """train | pool."""
    stacks: tuple[Stack, ...]
    """The processes, of all trials that are not finished."""
    max_retries: int = 1
    """Restarts of a trial whose process died."""


def run_study(study: Study, plan: Plan, drive: Drive, info: ClusterInfo, mirror: Mirror, claims: Claims) -> int:
    """Runs what is not finished, the longest first, and mirrors everything; the number of failed trials.

    What another driver has claimed is left to it and waited for.
    """
    todo = [trial for trial in plan.trials if trial.status is not TrialStatus.FINISHED]
    specs = {spec.trial_id: spec for spec in study.spec.trials}
    failed, elsewhere = 0, []
    failed_before = (trial.spec.trial_id for trial in todo if trial.status is TrialStatus.FAILED)
    turns = Turns(study.store, claims, failed_before)
    planned, finished = {t.spec.trial_id: t.seconds for t in todo}, len(plan.trials) - len(todo)
    sharing = {trial.spec.trial_id: len(stack.trials) for stack in drive.stacks for trial in stack.trials}
    with Progress(planned, finished, plan.slots, sharing=sharing) as progress:
        for trial in plan.trials:
            if trial.status is TrialStatus.FINISHED:
                mirror.log_trial(trial.spec)
        for event in _events(_jobs(study, drive.stacks), drive, info, turns):
            spec = specs[event.trial_id]
            if event.kind is EventKind.STARTED:
                progress.started(event.trial_id)
                if turns.shared:
                    mirror.look_for(spec)
                mirror.start_trial(spec)
            elif event.kind is EventKind.AWAITED:
                progress.say(f"trial {event.trial_id} is trained by another driver; waiting for it")
            else:
                failed += event.error is not None
                progress.ended(event.trial_id, event.error)
                if event.kind is EventKind.ELSEWHERE:
                    elsewhere.append(spec)
                    continue
                if event.error is not None:
                    _keep_error(study, event.trial_id, event.error, progress)
                mirror.log_trial(spec)
    if elsewhere:
        mirror.look_again()
        for spec in elsewhere:
            mirror.log_trial(spec)
    return failed


def _keep_error(study: Study, trial_id: str, error: str, progress: Progress) -> None:
    """Stores why a trial failed; where not even that can be stored, the user is told, and the others still run."""
    try:
        study.store.write_error(trial_id, error)
    except DataError as unwritten:
        progress.say(f"trial {trial_id}: its error is not stored: {unwritten}")


def _events(jobs: Sequence[TrialJob], drive: Drive, info: ClusterInfo, turns: Turns) -> Iterator[TrialEvent]:
    """What happens to the trials; Ray is imported only where there are some, since that takes a second."""
    if jobs:
        from recscale.cluster.executors import run_jobs

        yield from run_jobs(jobs, drive.executor, info, drive.max_retries, turns=turns)


def _jobs(study: Study, stacks: Sequence[Stack]) -> list[TrialJob]:
    """The longest first."""
    jobs = []
    for stack in sorted(stacks, key=lambda stack: stack.seconds, reverse=True):
        first, *others = (trial.spec for trial in stack.trials)
        shares, path = stack.shares, study.spec.dataset.path
        jobs.append(TrialJob(first, path, study.storage, shares.first, shares.larger, tuple(others)))
    return jobs
