"""How far a preparation is: a bar where standard error is a terminal, now and then a line where it is not."""

import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

LINE_SECONDS = 30.0
"""Between two lines, and before the first: a short preparation into a log says nothing."""


class Progress:
    """One step of a preparation, on standard error: `with Progress("reading", "row") as progress:`."""

    def __init__(self, step: str, unit: str, total: int | None = None) -> None:
        self._step, self._unit, self._total = step, unit, total
        self._done = 0
        self._bar = tqdm(desc=step, unit=unit, total=total, unit_scale=True, disable=None)
        self._next_line = time.monotonic() + LINE_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def advance(self, count: int) -> None:
        """`count` more units are done."""
        self._done += count
        self._bar.update(count)
        if self._bar.disable and time.monotonic() >= self._next_line:
            of = "" if self._total is None else f" of {self._total:,}"
            print(f"{self._step}: {self._done:,}{of} {self._unit}s", file=sys.stderr, flush=True)
            self._next_line = time.monotonic() + LINE_SECONDS
