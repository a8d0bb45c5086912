"""Real drivers as processes of their own, and what of them can be watched and killed."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.faults.counted import LOG

ROOT = Path(__file__).resolve().parents[2]
COUNTED = Path(__file__).with_name("counted.py")
TINY = ("--hidden-sizes", "8", "--batch-size", "256", "--max-epochs", "1", "--families", "dnn", "--sets", "1")
POLL_SECONDS = 0.02
PATIENCE_SECONDS = 240.0
"""Longer than anything here takes on a busy machine: what is waited for longer than this does not come."""


@dataclass(frozen=True)
class Line:
    """A line of the workers' log."""

    kind: str
    """begin | end."""
    trial_id: str
    """The trial."""
    pid: int
    """The worker."""
    epoch: int
    """Epoch of the checkpoint that it began from."""
    batch: int
    """Batch inside that epoch."""


def lines(storage: Path) -> list[Line]:
    """What the workers have logged so far."""
    if not (storage / LOG).exists():
        return []
    words = [line.split() for line in (storage / LOG).read_text().splitlines()]
    return [Line(kind, trial, int(pid), int(epoch), int(batch)) for kind, trial, pid, epoch, batch in words]


def trained(storage: Path) -> Counter[str]:
    """How often each trial was begun."""
    return Counter(line.trial_id for line in lines(storage) if line.kind == "begin")


def arguments(data: Path, storage: Path, *more: str) -> list[str]:
    """Command line of a tiny scaling study whose workers keep a log."""
    place = ("--data", str(data), "--storage", str(storage), "--name", "tiny")
    return [sys.executable, str(COUNTED), *place, *TINY, *more]


@contextmanager
def driver(command: Sequence[str], environment: dict[str, str], output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command in a process of its own, which is killed with all it started where the block leaves it running."""
    with open(output, "ab") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=file, stderr=file, stdin=subprocess.DEVNULL
        )
    try:
        yield process
    finally:
        for pid in family(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def run(command: Sequence[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The command to its end."""
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def until(happened: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    """Waits until it is true; an error where the process ends first."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert process.poll() is None, f"ended with {process.returncode}"
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(POLL_SECONDS)


def family(pid: int) -> list[int]:
    """The process and its descendants, as long as it lives."""
    try:
        children = [
            child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid, *(member for child in children for member in family(int(child)))]


def named(pid: int, pattern: str) -> list[int]:
    """Those of the process's family whose command line matches."""
    return [member for member in family(pid) if re.search(pattern, command_line(member))]


def command_line(pid: int) -> str:
    """As ps shows it; empty of a process that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def living(environment: dict[str, str]) -> list[str]:
    """Command lines of the processes that were started in this environment and still run; RAY_TMPDIR tells them."""
    mark = f"RAY_TMPDIR={environment['RAY_TMPDIR']}\0".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (folder / "environ").read_bytes():
                found.append(command_line(int(folder.name)))
    return [line for line in found if line]


def gone(environment: dict[str, str]) -> bool:
    """Whether every process of that environment ends by itself, soon."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while living(environment) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return not living(environment)
