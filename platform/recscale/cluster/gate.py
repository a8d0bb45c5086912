"""How a run says that it has been given its share: Ray Train tells nobody."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import ray

from recscale.cluster.jobs import BegunRef

MOST_RUNS = 10_000
"""Runs that may be waited for at once."""


class Gate:
    """An actor that is told of every run that has begun."""

    def __init__(self) -> None:
        self._begun: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)

    async def tell(self, run: int) -> None:
        """The run of this number has begun."""
        self._begun[run].set()

    async def begun(self, run: int) -> None:
        """Returns when it has."""
        await self._begun[run].wait()


def open_gate() -> Any:
    """A gate of one's own; it holds no share."""
    return ray.remote(Gate).options(num_cpus=0, max_concurrency=MOST_RUNS).remote()


@dataclass(frozen=True)
class Begun:
    """One run at its gate."""

    gate: Any
    """The gate."""
    run: int
    """The run's number there."""

    def tell(self) -> None:
        """Says that it has begun, and waits for no answer: whoever asks may be gone."""
        self.gate.tell.remote(self.run)

    def ref(self) -> BegunRef:
        """Resolves when it has begun."""
        return self.gate.begun.remote(self.run)  # type: ignore[no-any-return]
