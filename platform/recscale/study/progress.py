"""The live line of a study: trials, or samples of a search, done, running and failed, and the time left."""

import sys
import threading
import time
from collections.abc import Mapping
from types import MappingProxyType, TracebackType

from tqdm import tqdm

REFRESH_SECONDS = 1.0


class Progress:
    """A progress bar on standard error; in a file, one line per ended trial.

    Time left is the planned work left, scaled by how the plan has held so far.
    """

    def __init__(
        self,
        planned_seconds: Mapping[str, float],
        finished_before: int,
        slots: int,
        unit: str = "trial",
        sharing: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """`sharing` says of trials that share a process how many do: its time counts in equal parts."""
        self._planned = dict(planned_seconds)
        self._left = dict(planned_seconds)
        self._slots, self._unit, self._sharing = slots, unit, sharing
        self._running: dict[str, float] = {}
        self._failed = 0
        self._planned_done = self._spent = 0.0
        total = len(planned_seconds) + finished_before
        self._bar = tqdm(
            total=total,
            initial=finished_before,
            desc=f"{unit}s",
            file=sys.stderr,
            bar_format="{desc} {n_fmt}/{total_fmt} |{bar:20}| {elapsed}{postfix}",
        )
        self._live = sys.stderr.isatty()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> "Progress":
        if self._live:
            self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        if self._live:
            self._thread.join()
        self._bar.close()

    def started(self, trial_id: str) -> None:
        """A trial runs."""
        self._running[trial_id] = time.monotonic()
        if self._live:
            self._show()

    def ended(self, trial_id: str, error: str | None) -> None:
        """A trial has finished, or failed where there is an error."""
        self._spent += self._worked(trial_id, self._running.pop(trial_id, time.monotonic()))
        self._planned_done += self._planned[trial_id]
        self._left.pop(trial_id, None)
        self._failed += error is not None
        self._bar.n += 1
        if error is not None:
            self.say(f"{self._unit} {trial_id} failed: {error.strip().splitlines()[-1]}")
        self._show()

    def say(self, text: str) -> None:
        """A line of its own, above the bar."""
        self._bar.write(text, file=sys.stderr)

    def seconds_left(self) -> float | None:
        """None until the first trial has ended."""
        if not self._left:
            return 0.0
        if not self._planned_done:
            return None
        held = self._spent / self._planned_done
        running = tuple(self._running.items())
        done = {trial: min(self._worked(trial, since), held * self._planned[trial]) for trial, since in running}
        work = sum(held * seconds - done.get(trial, 0.0) for trial, seconds in tuple(self._left.items()))
        return max(work, 0.0) / self._slots

    def _worked(self, trial_id: str, since: float) -> float:
        """Seconds of work on a trial."""
        return (time.monotonic() - since) / self._sharing.get(trial_id, 1)

    def _show(self) -> None:
        left = self.seconds_left()
        text = "?" if left is None else tqdm.format_interval(left)
        self._bar.set_postfix_str(f"{len(self._running)} running, {self._failed} failed, {text} left", refresh=True)

    def _tick(self) -> None:
        while not self._stop.wait(REFRESH_SECONDS):
            self._show()
