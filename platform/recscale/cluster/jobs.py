"""Records between a study and the executors: a trial to run, what happened to it, and the function that runs it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from recscale.cluster.shares import Share
from recscale.records import TrialSpec
from recscale.storage.location import Location, location


@dataclass(frozen=True)
class TrialJob:
    """One trial to run."""

    spec: TrialSpec
    """The trial."""
    dataset_path: str
    """The dataset's folder, absolute, or its URI; the same on every machine."""
    storage: str
    """The storage folder, absolute, or its URI; the same on every machine."""
    share: Share
    """What it holds while it runs."""
    larger: Share | None = None
    """What it holds once more where that was too little memory; None where the cluster has no larger one for it."""

    @property
    def trial_id(self) -> str:
        """The spec's identity."""
        return self.spec.trial_id

    @property
    def ray_folder(self) -> Location:
        """Where Ray Train keeps this trial's run; a later run of the same trial resumes from it."""
        return location(self.storage) / "ray" / self.trial_id


class EventKind(StrEnum):
    """What happened to a trial."""

    STARTED = "started"
    FINISHED = "finished"
    FAILED = "failed"
    AWAITED = "awaited"
    """Another driver trains it, and nothing else is left to do here; said once."""
    ELSEWHERE = "elsewhere"
    """Another driver has ended it."""


@dataclass(frozen=True)
class TrialEvent:
    """Something that happened to one trial; each is started once, then finished or failed once, or ends elsewhere."""

    kind: EventKind
    """started | finished | failed | awaited | elsewhere."""
    trial_id: str
    """The trial."""
    error: str | None
    """Traceback of a trial that failed, here or elsewhere, else None."""
    seconds: float
    """Wall time since it was started here, restarts included; 0 where it has not ended here."""


@dataclass(frozen=True)
class Outcome:
    """How a worker's attempt at a trial ended, as the worker itself says."""

    error: str | None
    """Traceback of the exception that ended it, None where it finished."""


if TYPE_CHECKING:
    from ray import ObjectRef

    from recscale.training.checkpoints import Checkpoints

OutcomeRef: TypeAlias = "ObjectRef[Outcome]"
"""The future of an outcome."""
BegunRef: TypeAlias = "ObjectRef[Any]"
"""Resolves when Ray has given a trial its share."""


@dataclass(frozen=True)
class Launched:
    """A trial that was handed to Ray."""

    outcome: OutcomeRef
    """How it ends."""
    begun: "ObjectRef[Any] | None"
    """When it has its share; None where it has it already."""


Work: TypeAlias = "Callable[[TrialJob, Checkpoints], None]"
"""Runs one trial inside a Ray Train worker and writes its results to the storage; importable on every machine."""
