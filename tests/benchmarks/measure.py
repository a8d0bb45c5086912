"""Two sides measured in turn: each in a process of its own, one at work at a time, so that noise meets both alike."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self

from recscale.cluster.environment import WORKERS


@dataclass(frozen=True)
class Row:
    """One comparison."""

    name: str
    """What was measured."""
    ours: float
    """Median over repeats."""
    baseline: float | None
    """Median of what a user would run instead; None where there is no such thing."""
    ratio: float | None
    """How many times faster ours is: the median over repeats of neighbours' ratios."""
    unit: str
    """Of ours and baseline."""
    repeats: int
    """Measurements of each side."""
    spread: tuple[float, float]
    """Least and largest ratio over the repeats; of ours where there is no baseline."""
    target: str = ""
    """What was asked for."""
    note: str = ""
    """Sizes, shares of a ceiling, quality reached."""


class Side:
    """A process that prepares `factory(*arguments)`, while others do too, and calls what it returned when asked."""

    def __init__(
        self, factory: Callable[..., Callable[..., Any]], arguments: Sequence[Any], tuned: dict[str, str]
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        before = {name: os.environ.get(name) for name in tuned}
        os.environ.update(tuned)
        self._process = context.Process(target=_serve, args=(theirs, factory, arguments), daemon=True)
        self._process.start()
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
        theirs.close()

    @classmethod
    def ours(cls, factory: Callable[..., Callable[..., Any]], *arguments: Any) -> Self:
        """As a study's workers run."""
        return cls(factory, arguments, WORKERS)

    @classmethod
    def baseline(cls, factory: Callable[..., Callable[..., Any]], *arguments: Any) -> Self:
        """As a user's own script runs."""
        return cls(factory, arguments, {})

    def __call__(self, *arguments: Any) -> Any:
        """What one call returned."""
        self.start(*arguments)
        return self.result()

    def start(self, *arguments: Any) -> None:
        """Begins a call."""
        self._ours.send(arguments)

    def result(self) -> Any:
        """What the call that was begun returned, once it has."""
        return self._ours.recv()

    def __enter__(self) -> Self:
        """Once the process is prepared."""
        self.result()
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        self._process.join()


def alternate(ours: Side, baseline: Side, repeats: int) -> tuple[list[float], list[float]]:
    """Seconds of either side, in turn."""
    theirs, own = in_turn((baseline, ours), repeats)
    return own, theirs


def in_turn(sides: Iterable[Side], repeats: int) -> list[list[Any]]:
    """What each side returned, round after round; the first round warms up and is left out."""
    with ExitStack() as stack:
        return rounds([stack.enter_context(side) for side in sides], repeats)


def rounds(sides: Sequence[Side], repeats: int) -> list[list[Any]]:
    """As `in_turn`, of sides that are prepared and stay so."""
    returned = [[side() for side in sides] for _ in range(repeats + 1)][1:]
    return [list(own) for own in zip(*returned, strict=True)]


def in_words(seconds: Sequence[float]) -> str:
    """Median and extremes."""
    return f"{1e3 * median(seconds):6.1f} ms [{1e3 * min(seconds):.1f}, {1e3 * max(seconds):.1f}]"


def compared(name: str, ours: list[float], baseline: list[float], unit: str, target: str = "", note: str = "") -> Row:
    """Of times: the less, the better."""
    ratios = [other / own for own, other in zip(ours, baseline, strict=True)]
    spread = (min(ratios), max(ratios))
    return Row(name, median(ours), median(baseline), median(ratios), unit, len(ours), spread, target, note)


def measured(name: str, values: Sequence[float], unit: str, target: str = "", note: str = "") -> Row:
    """Of ours alone."""
    return Row(name, median(values), None, None, unit, len(values), (min(values), max(values)), target, note)


def anonymous_bytes() -> int:
    """Resident memory of this process that is no mapped file's; Linux only."""
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines() if "Rss" in line)
    return int(fields["RssAnon"].split()[0]) * 1024


def _serve(pipe: Any, factory: Callable[..., Callable[..., Any]], arguments: Sequence[Any]) -> None:
    call = factory(*arguments)
    pipe.send("ready")
    with suppress(EOFError):
        while True:
            pipe.send(call(*pipe.recv()))
