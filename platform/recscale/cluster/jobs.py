"""Records between a study and the executors: trials to run, what happened to them, and the function that runs them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from recscale.cluster.shares import Share
from recscale.records import TrialSpec
from recscale.storage.location import Location, location


@dataclass(frozen=True)
class TrialJob:
    """One trial to run, or several that differ in their seed and are trained stacked in one process."""

    spec: TrialSpec
    """The trial, or the first of them."""
    dataset_path: str
    """The dataset's folder, absolute, or its URI; the same on every machine."""
    storage: str
    """The storage folder, absolute, or its URI; the same on every machine."""
    share: Share
    """What it holds while it runs."""
    larger: Share | None = None
    """What it holds once more where that was too little memory; None where the cluster has no larger one for it."""
    others: tuple[TrialSpec, ...] = ()
    """Further seeds, stacked with the first."""

    @property
    def trial_id(self) -> str:
        """The first spec's identity."""
        return self.spec.trial_id

    @property
    def specs(self) -> tuple[TrialSpec, ...]:
        """All of its trials."""
        return (self.spec, *self.others)

    def of(self, specs: Sequence[TrialSpec]) -> Self:
        """The same job of some of its trials."""
        return replace(self, spec=specs[0], others=tuple(specs[1:]))

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
    """How a worker's attempt at a job ended, as the worker itself says."""

    error: str | None
    """Traceback of the exception that ended all of it, None where it came to its end."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Tracebacks of those of several trials that failed while the others went on, by id."""


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


Work: TypeAlias = "Callable[[TrialJob, Checkpoints], Mapping[str, str]]"
"""Runs a job inside a Ray Train worker and writes its results to the storage; importable on every machine.

The checkpoints are those of a single trial. It returns the tracebacks of those of several trials that failed, by id."""
