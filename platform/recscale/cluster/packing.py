"""In what order trials of unlike shares are handed to Ray, and how many at once.

Ray places every process by itself, and its autoscaler adds the machines that this takes. Here is only kept count, on a
model of the cluster; no trial is tied to a machine, since a tie outlives a spot machine, and machines to come have no
name yet. Three rules are enough:

- A trial is handed over when it fits beside everything under way, the longest first.
- The first in line that does not fit has machines kept for it: whatever overtakes it goes elsewhere, so these machines
  only drain, until it fits.
- Ray may have placed otherwise than the model, so that a trial handed over has to wait. While one does, none of a
  smaller share is handed over: what runs ends, and only trials as large or larger take its place. In the end the
  largest that waits is alone on the cluster, where `check_shares` made sure that it fits.

Hence no deadlock, and nobody waits longer than what runs, and equals before it, take.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from recscale.cluster.shares import NodeShape, Share, workers_on

ROUNDING = 1e-9
"""What a sum of fractions may be off."""


class Sharing(Protocol):
    """Something that holds a share while it runs; equal only to itself."""

    @property
    def share(self) -> Share:
        """What it holds."""


Job = TypeVar("Job", bound=Sharing)


@dataclass(frozen=True)
class Grant:
    """What one worker holds of one machine."""

    machine: int
    """Place of the machine in the cluster's shapes."""
    cpus: float
    """CPUs."""
    gpus: tuple[tuple[int, float], ...]
    """GPUs of the machine by number, and how much of each."""


class Packing:
    """What is free on each machine, and where the next worker fits most tightly."""

    def __init__(self, shapes: Sequence[NodeShape]) -> None:
        self._shapes = tuple(shapes)
        self._cpus = [shape.cpus for shape in shapes]
        self._gpus = [[1.0] * int(shape.gpus) for shape in shapes]

    def take(self, share: Share, kept: Collection[int] = ()) -> tuple[Grant, ...] | None:
        """Room for all workers of a trial outside the kept machines; None, and nothing is taken, where there is not."""
        grants: list[Grant] = []
        for _ in range(share.workers):
            grant = self._tightest(share, kept)
            if grant is None:
                self.give_back(grants)
                return None
            self._book(grant, 1)
            grants.append(grant)
        return tuple(grants)

    def give_back(self, grants: Iterable[Grant]) -> None:
        """Frees what was taken."""
        for grant in grants:
            self._book(grant, -1)

    def to_keep(self, share: Share) -> frozenset[int]:
        """The machines with most of their GPUs and CPUs free that hold such a trial once they are drained."""
        order = sorted(range(len(self._shapes)), key=lambda m: (sum(self._gpus[m]), self._cpus[m]), reverse=True)
        kept: set[int] = set()
        room = 0
        for machine in order:
            if room < share.workers and (workers := workers_on(self._shapes[machine], share)):
                kept.add(machine)
                room += workers
        return frozenset(kept)

    def _tightest(self, share: Share, kept: Collection[int]) -> Grant | None:
        """Where least is left over, so that whole GPUs and whole machines stay whole."""
        best: tuple[tuple[float, ...], Grant] | None = None
        for machine, (cpus, gpus) in enumerate(zip(self._cpus, self._gpus, strict=True)):
            if machine in kept or cpus < share.cpus - ROUNDING:
                continue
            numbers = _numbers(share, gpus)
            if numbers is None:
                continue
            part = min(share.gpus, 1.0)
            left = gpus[numbers[0]] - part if numbers else 0.0
            rank = (left, sum(gpus), cpus)
            if best is None or rank < best[0]:
                best = rank, Grant(machine, share.cpus, tuple((number, part) for number in numbers))
        return best[1] if best else None

    def _book(self, grant: Grant, sign: int) -> None:
        self._cpus[grant.machine] -= sign * grant.cpus
        for number, part in grant.gpus:
            self._gpus[grant.machine][number] -= sign * part


class Line(Generic[Job]):
    """Trials in the order in which they want to run, and those under way."""

    def __init__(self, jobs: Iterable[Job], shapes: Sequence[NodeShape]) -> None:
        self._waiting = list(jobs)
        self._shares = Counter(job.share for job in self._waiting)
        self._packing = Packing(shapes)
        self._held: dict[Job, tuple[Grant, ...]] = {}
        self._not_begun: set[Job] = set()
        self._first: Job | None = None
        self._kept: frozenset[int] = frozenset()

    def __len__(self) -> int:
        """Trials that have not been handed over."""
        return len(self._waiting)

    def next(self) -> Job | None:
        """The trial to hand over now, which is under way from here on; None where one under way has to end first."""
        smallest = max((_size(job.share) for job in self._not_begun), default=None)
        full: set[Share] = set()
        tried_first = False
        for job in self._waiting:
            if smallest is not None and _size(job.share) < smallest:
                continue
            if job.share in full and job is not self._first:
                continue
            grants = self._packing.take(job.share, () if job is self._first else self._kept)
            if grants is not None:
                self._hand_over(job, grants)
                return job
            full.add(job.share)
            if self._first is None:
                self._first, self._kept = job, self._packing.to_keep(job.share)
            tried_first = tried_first or job is self._first
            if tried_first and len(full) == len(self._shares):
                return None
        return None

    def begun(self, job: Job) -> None:
        """Ray has given a trial its share."""
        self._not_begun.discard(job)

    def lost(self, job: Job) -> None:
        """The process of a trial under way is gone, and it waits for its share anew."""
        self._not_begun.add(job)

    def grants(self, job: Job) -> tuple[Grant, ...]:
        """What the model gives to a trial under way."""
        return self._held[job]

    def ended(self, job: Job) -> None:
        """A trial under way has given its share back."""
        self._not_begun.discard(job)
        self._packing.give_back(self._held.pop(job))

    def put_first(self, job: Job) -> None:
        """A trial comes before all others that wait."""
        self._waiting.insert(0, job)
        self._shares[job.share] += 1

    def put_last(self, job: Job) -> None:
        """A trial comes after all others that wait."""
        self._waiting.append(job)
        self._shares[job.share] += 1

    def _hand_over(self, job: Job, grants: tuple[Grant, ...]) -> None:
        self._waiting.remove(job)
        self._shares[job.share] -= 1
        self._shares += Counter()  # drops shares that nobody waits for
        self._held[job] = grants
        self._not_begun.add(job)
        if job is self._first:
            self._first, self._kept = None, frozenset()


def _numbers(share: Share, free: Sequence[float]) -> tuple[int, ...] | None:
    """GPUs of a machine for one worker: the fullest that has room for its fraction, or whole ones."""
    if not share.gpus:
        return ()
    fitting = [number for number, room in enumerate(free) if room >= min(share.gpus, 1.0) - ROUNDING]
    if share.gpus < 1:
        return (min(fitting, key=lambda number: free[number]),) if fitting else None
    return tuple(fitting[: int(share.gpus)]) if len(fitting) >= share.gpus else None


def _size(share: Share) -> tuple[float, float, float]:
    """What makes a share harder to place: GPUs in all, GPUs on one machine, CPUs."""
    return share.gpus * share.workers, share.gpus, share.cpus * share.workers
