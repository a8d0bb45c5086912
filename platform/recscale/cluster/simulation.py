"""How long trials take on a cluster when they are handed over as the executors do it, without running any."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from recscale.cluster.packing import Grant, Line
from recscale.cluster.shares import NodeShape, Share


@dataclass(frozen=True)
class TrialTime:
    """A trial by what it takes."""

    number: int
    """Tells it from others that take the same."""
    seconds: float
    """How long it runs."""
    share: Share
    """What it holds meanwhile."""

    @property
    def gpu_seconds(self) -> float:
        """GPUs held, times how long."""
        return self.seconds * self.share.gpus * self.share.workers


@dataclass(frozen=True)
class Stay:
    """When and where a trial ran."""

    trial: TrialTime
    """The trial."""
    start: float
    """Seconds since the first began."""
    grants: tuple[Grant, ...]
    """What it held."""

    @property
    def end(self) -> float:
        """Seconds since the first began."""
        return self.start + self.trial.seconds


@dataclass(frozen=True)
class Timeline:
    """Every trial in the order in which they began."""

    stays: tuple[Stay, ...]
    """When and where each ran."""
    gpus: float
    """GPUs of the cluster."""

    @property
    def makespan(self) -> float:
        """Seconds from the first beginning to the last end."""
        return max((stay.end for stay in self.stays), default=0.0)

    @property
    def lower_bound(self) -> float:
        """What no order can beat: all work over all GPUs, and the longest trial."""
        work = sum(stay.trial.gpu_seconds for stay in self.stays)
        return max(work / self.gpus, max((stay.trial.seconds for stay in self.stays), default=0.0))

    @property
    def utilisation(self) -> float:
        """Share of all GPUs' time that trials held."""
        return sum(stay.trial.gpu_seconds for stay in self.stays) / (self.gpus * self.makespan)


def simulate(trials: Sequence[TrialTime], shapes: Sequence[NodeShape]) -> Timeline:
    """Runs the line, longest first, on a clock of its own; every share has to fit the empty cluster."""
    line = Line(longest_first(trials), shapes)
    running: list[tuple[float, int, TrialTime]] = []
    stays: list[Stay] = []
    now = 0.0
    while len(line) or running:
        while (trial := line.next()) is not None:
            line.begun(trial)
            stays.append(Stay(trial, now, line.grants(trial)))
            heapq.heappush(running, (now + trial.seconds, trial.number, trial))
        now, _, ended = heapq.heappop(running)
        line.ended(ended)
    return Timeline(tuple(stays), sum(shape.gpus for shape in shapes))


def longest_first(trials: Sequence[TrialTime]) -> list[TrialTime]:
    """The order in which a study hands its trials over."""
    return sorted(trials, key=lambda trial: trial.seconds, reverse=True)
