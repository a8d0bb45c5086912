"""Drives a study from its plan to its last trial: Ray runs, the store remembers, MLflow mirrors, the user watches."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from recscale.cluster.jobs import EventKind, TrialEvent, TrialJob
from recscale.cluster.shares import ClusterInfo, Executor
from recscale.cluster.sizing import Shares
from recscale.study.plan import Plan, PlannedTrial
from recscale.study.progress import Progress
from recscale.study.store import TrialStatus
from recscale.study.study import Study
from recscale.study.tracking import Mirror


@dataclass(frozen=True)
class Drive:
    """How a study's trials are run."""

    executor: Executor
    """train | pool."""
    shares: Mapping[str, Shares]
    """What each trial that is not finished holds, by id."""
    max_retries: int = 1
    """Restarts of a trial whose process died."""


def run_study(study: Study, plan: Plan, drive: Drive, info: ClusterInfo, mirror: Mirror) -> int:
    """Runs what is not finished, the longest trials first, and mirrors everything; the number of failed trials."""
    todo = [trial for trial in plan.trials if trial.status is not TrialStatus.FINISHED]
    todo.sort(key=lambda trial: trial.seconds, reverse=True)
    specs = {spec.trial_id: spec for spec in study.spec.trials}
    failed = 0
    with Progress({t.spec.trial_id: t.seconds for t in todo}, len(plan.trials) - len(todo), plan.slots) as progress:
        for trial in plan.trials:
            if trial.status is TrialStatus.FINISHED:
                mirror.log_trial(trial.spec)
        for event in _events(_jobs(study, todo, drive.shares), drive, info):
            spec = specs[event.trial_id]
            if event.kind is EventKind.STARTED:
                progress.started(event.trial_id)
                mirror.start_trial(spec)
                continue
            if event.error is not None:
                study.store.write_error(event.trial_id, event.error)
                failed += 1
            progress.ended(event.trial_id, event.error)
            mirror.log_trial(spec)
    return failed


def _events(jobs: Sequence[TrialJob], drive: Drive, info: ClusterInfo) -> Iterator[TrialEvent]:
    """What happens to the trials; Ray is imported only where there are some, since that takes a second."""
    if jobs:
        from recscale.cluster.executors import run_jobs

        yield from run_jobs(jobs, drive.executor, info, drive.max_retries)


def _jobs(study: Study, trials: Sequence[PlannedTrial], shares: Mapping[str, Shares]) -> list[TrialJob]:
    given = [(trial.spec, shares[trial.spec.trial_id]) for trial in trials]
    return [TrialJob(spec, study.spec.dataset.path, study.storage, own.first, own.larger) for spec, own in given]
