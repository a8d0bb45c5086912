"""Which trials share a process: seeds of a cell, stacked, as many as are asked for and one share holds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from recscale.cluster.shares import Share
from recscale.records import TrialSpec
from recscale.study.plan import PlannedTrial, point_of
from recscale.study.store import TrialStatus


@dataclass(frozen=True)
class Shares:
    """What one process is given."""

    first: Share
    """What it holds."""
    larger: Share | None
    """Twice that, for one that runs out of memory; None where the cluster or the model has no such."""

    def one_worker(self) -> "Shares":
        """The same where nothing may grow to several workers."""
        return replace(self, larger=None) if self.larger and self.larger.workers > 1 else self


@dataclass(frozen=True)
class Stack:
    """Trials of one process."""

    trials: tuple[PlannedTrial, ...]
    """One, or several that differ in their seed."""
    shares: Shares
    """What the process is given."""

    @property
    def seconds(self) -> float:
        """Time to train all of them."""
        return sum(trial.seconds for trial in self.trials)

    def text(self) -> str:
        """The share in words."""
        return f"{self.shares.first}" + (f", {len(self.trials)} seeds" if len(self.trials) > 1 else "")


def stacks_of(
    trials: Sequence[PlannedTrial],
    most: int,
    num_fields: int,
    shares_of: Callable[[PlannedTrial, int], Shares | None],
) -> tuple[Stack, ...]:
    """All trials that are not finished, up to `most` seeds of a cell together; prints why seeds cannot be stacked.

    `shares_of` gives what so many seeds of a trial's cell hold in one process, None where that is too many; one seed is
    never too many.
    """
    cells: dict[TrialSpec, list[PlannedTrial]] = {}
    for trial in trials:
        if trial.status is not TrialStatus.FINISHED:
            cells.setdefault(replace(trial.spec, seed=0), []).append(trial)
    stacks: list[Stack] = []
    for spec, seeds in cells.items():
        alone = _problem(spec, num_fields) if most > 1 else ""
        if alone:
            print(f"seeds of {point_of(spec)} are not stacked: {alone}")
        for size in range(1 if alone else min(most, len(seeds)), 0, -1):
            if shares := shares_of(seeds[0], size):
                stacks += [Stack(tuple(seeds[i : i + size]), shares) for i in range(0, len(seeds), size)]
                break
    return tuple(stacks)


def _problem(spec: TrialSpec, num_fields: int) -> str:
    """Why seeds of a cell cannot be stacked; empty where they can."""
    from recscale.training.stack import stack_problem  # needs torch

    return stack_problem(spec.model, spec.train.penalty, num_fields)
