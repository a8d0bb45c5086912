"""Who trains what: drivers that share a storage claim a trial before they start it, so that it is trained once.

Layout: <storage>/claims/{<what>.<driver>, driver.<driver>}: one file per claim, and one per driver, which it writes
again every few seconds for as long as it lives. A claim is held by who has written it and then finds no other's claim
on the same thing; who finds one withdraws. That needs a store that lists what was written before, and no clock: the
time of a driver's file is only ever compared with itself, over a while measured by one's own monotonic clock.
"""

import hashlib
import os
import random
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from recscale.errors import DataError
from recscale.storage.location import Location, modified_ns, touch

FOLDER = "claims"
"""Where claims are, inside the storage."""
BEAT_SECONDS = 10.0
"""How often a driver says that it lives."""
EXPIRY_SECONDS = 60.0
"""A driver that has said nothing for so long is taken for dead; one of this machine as soon as its process is gone."""
LOOK_SECONDS = 1.0
"""How often a driver looks at what others hold."""
DRIVER = "driver"


class Claims:
    """The claims of this process on what is in one storage; all are given up at the end of the block.

    `shared` tells whether another driver has been met, living or dead.
    """

    def __init__(self, storage: Location, beat: float = BEAT_SECONDS, expiry: float = EXPIRY_SECONDS) -> None:
        self._folder = storage / FOLDER
        self._beat, self._expiry = beat, expiry
        self._me = f"{machine()}-{os.getpid()}-{_birth(os.getpid())}-{secrets.token_hex(4)}"
        self._mine: set[str] = set()
        self._theirs: frozenset[str] = frozenset()
        self._looked = -LOOK_SECONDS
        self.shared = False
        self._seen: dict[str, tuple[int | None, float]] = {}
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._live, daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        if self._heart.ident is not None:
            self._heart.join()
            for what in tuple(self._mine):
                self.release(what)
            self._remove(self._file(DRIVER, self._me))

    def take(self, what: str) -> bool:
        """Whether it is ours from now on; not where another driver holds it. DataError where the storage fails."""
        if what in self._mine:
            return True
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._look()
        if what in self._theirs:
            return False
        if self._heart.ident is None:
            touch(self._file(DRIVER, self._me))
            self._heart.start()
        self._mine.add(what)
        touch(self._file(what, self._me))
        self._look()
        if what in self._theirs:
            self.release(what)
        return what in self._mine

    def release(self, what: str) -> None:
        """Gives it up."""
        self._remove(self._file(what, self._me))
        self._mine.discard(what)

    def each(self, whats: Iterable[str]) -> Iterator[str]:
        """Each of them while it is ours, those that others hold as soon as these have given them up."""
        waiting = deque(whats)
        while waiting:
            for _ in range(len(waiting)):
                what = waiting.popleft()
                if self.take(what):
                    yield what
                    self.release(what)
                else:
                    waiting.append(what)
            if waiting:
                self.pause()

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Holds it for the time of the block, and waits for that as long as another does."""
        while not self.take(what):
            self.pause()
        try:
            yield
        finally:
            self.release(what)

    def pause(self) -> None:
        """Waits until it is worth looking again; not for the same time in every driver, or they would meet again."""
        time.sleep(LOOK_SECONDS * random.uniform(1, 2))

    def _look(self) -> None:
        """Reads what others hold, and clears away what dead ones have left."""
        claims = self._listed()
        self._looked = time.monotonic()
        for driver in {driver for _, driver in claims} - {self._me}:
            self.shared = True
            if self._dead(driver):
                left = {claim for claim in claims if claim[1] == driver}
                for what, _ in sorted(left, key=lambda claim: claim[0] == DRIVER):  # its own file last
                    self._remove(self._file(what, driver))
                claims -= left
        self._theirs = frozenset(what for what, driver in claims if driver != self._me)

    def _listed(self) -> set[tuple[str, str]]:
        """What is claimed, and by which driver."""
        try:
            names = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return set()
        return {(what, driver) for what, dot, driver in (name.rpartition(".") for name in names) if what and dot}

    def _dead(self, driver: str) -> bool:
        place, _, process = driver.partition("-")
        pid, _, rest = process.partition("-")
        if place == machine() and pid.isdecimal() and _birth(int(pid)) != rest.partition("-")[0]:
            return True
        try:
            version = modified_ns(self._file(DRIVER, driver))
        except FileNotFoundError:
            version = None
        now = time.monotonic()
        known, since = self._seen.setdefault(driver, (version, now))
        if known != version:
            self._seen[driver] = (version, now)
            return False
        return now - since > self._expiry

    def _live(self) -> None:
        """Writes this driver's file again and again; what cannot be written now is tried with the next beat."""
        while not self._ended.wait(self._beat):
            with suppress(DataError):
                touch(self._file(DRIVER, self._me))

    def _file(self, what: str, driver: str) -> Location:
        return self._folder / f"{what}.{driver}"

    def _remove(self, file: Location) -> None:
        """A claim that cannot be removed ends with its driver's life."""
        with suppress(DataError, OSError):
            file.unlink(missing_ok=True)


def machine() -> str:
    """What all processes that see each other's ids have in common, and no others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text() + os.readlink("/proc/self/ns/pid")
    except OSError:  # no Linux: a process is then only ever known by its driver's file
        boot = f"{os.getpid()}"
    return hashlib.sha256(f"{socket.gethostname()} {boot}".encode()).hexdigest()[:12]


def _birth(pid: int) -> str:
    """When a living process was started, in ticks since its machine's start; empty where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if stat[0] in "ZX" else stat[19]
