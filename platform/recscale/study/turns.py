"""Whose turn a trial is, among all drivers that run it: ours, another's, or nobody's any more."""

from collections.abc import Iterable
from enum import StrEnum

from recscale.study.claims import Claims
from recscale.study.store import TrialStatus, TrialStore


class Turn(StrEnum):
    """What is to be done with a trial that has not ended here."""

    OURS = "ours"
    """Train it: it is claimed, and no other driver will start it."""
    THEIRS = "theirs"
    """Ask again later: another driver trains it."""
    ENDED = "ended"
    """Nothing: another driver has finished it, or failed with it, since this one was started."""


class Turns:
    """Claims trials for one driver, and finds those that another has ended meanwhile."""

    def __init__(self, store: TrialStore, claims: Claims, failed_before: Iterable[str]) -> None:
        self._store, self._claims = store, claims
        self._to_retry = set(failed_before)

    @property
    def shared(self) -> bool:
        """Whether another driver has been met, living or dead: it may have begun what is ours now."""
        return self._claims.shared

    def ask(self, trial_id: str) -> Turn:
        """Claims the trial where nobody else has; a failure from before this driver's start is tried again, once."""
        if not self._claims.take(trial_id):
            self._to_retry.discard(trial_id)
            return Turn.THEIRS
        status = self._store.status(trial_id)
        if status is TrialStatus.MISSING:
            return Turn.OURS
        if status is TrialStatus.FAILED and trial_id in self._to_retry:
            self._store.forget_error(trial_id)
            return Turn.OURS
        self._claims.release(trial_id)
        return Turn.ENDED

    def error(self, trial_id: str) -> str | None:
        """What the trial failed by, None where it is finished."""
        return None if self._store.status(trial_id) is TrialStatus.FINISHED else self._store.read_error(trial_id)

    def end(self, trial_id: str) -> None:
        """Gives the trial up, once everything about it is stored."""
        self._claims.release(trial_id)

    def pause(self) -> None:
        """Waits until it is worth asking again."""
        self._claims.pause()
