"""What of a study is done, as numbers and as text."""

from collections import Counter
from dataclasses import dataclass

from recscale.records import TrialSpec
from recscale.study.store import TrialStatus
from recscale.study.study import Study


@dataclass(frozen=True)
class StudyStatus:
    """Trials by what the store knows of them."""

    finished: int
    """With a result."""
    failed: int
    """With an error."""
    missing: int
    """Not run, or still running."""
    text: str
    """All of it, with the last line of each error."""


def study_status(study: Study) -> StudyStatus:
    """Reads the standing of every trial from the store."""
    known = study.store.statuses(spec.trial_id for spec in study.spec.trials)
    standing = {spec: known[spec.trial_id] for spec in study.spec.trials}
    counts = Counter(standing.values())
    finished, failed, missing = (
        counts[status] for status in (TrialStatus.FINISHED, TrialStatus.FAILED, TrialStatus.MISSING)
    )
    lines = [f"{study.spec.name}: {len(standing)} trials, {finished} finished, {failed} failed, {missing} missing"]
    lines += [_failure(study, spec) for spec, status in standing.items() if status is TrialStatus.FAILED]
    lines += [f"refused: {refusal.reason}" for refusal in study.refused]
    return StudyStatus(finished, failed, missing, "\n".join(lines))


def _failure(study: Study, spec: TrialSpec) -> str:
    model = spec.model
    last = ((study.store.read_error(spec.trial_id) or "").strip().splitlines() or ["no message"])[-1]
    point = f"{model.family} scale={model.scale:g} sets={model.num_sets} seed={spec.seed}"
    return f"failed: {spec.trial_id} {point}: {last}"
