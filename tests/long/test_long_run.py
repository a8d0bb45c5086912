"""Three hundred trials while workers are killed at random: complete, every trial once, flat memory, nothing left."""

import os
import random
import signal
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from recscale.data.synthetic import write_synthetic
from recscale.study.status import study_status
from recscale.study.study import read_study
from tests.faults.driving import arguments, driver, gone, lines, named

TRIALS, KILL_SECONDS = 300, 20.0
EARLY, GROWTH = 50, 1.2
SIZE = ("--hidden-sizes", "16", "--max-epochs", "6", "--patience", "6")
KNOWN_SEED = 7


@dataclass
class Watch:
    """What is done to a study, and seen of it, while it runs."""

    kills: int = 0
    """Workers killed."""
    memory: dict[int, int] = field(default_factory=dict)
    """Resident bytes of the driver by the number of trials that had ended."""


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _watch(pid: int, storage: Path, ended: threading.Event, watch: Watch) -> None:
    """Every second notes the driver's memory, and every 20 s kills one of its workers."""
    chance, seconds = random.Random(KNOWN_SEED), 0
    while not ended.wait(1.0):
        seconds += 1
        with suppress(FileNotFoundError, ProcessLookupError):
            watch.memory[len(list(storage.glob("trials/*/result.json")))] = _resident(pid)
        workers = named(pid, r"^ray::TrialSlot")
        if seconds % KILL_SECONDS == 0 and workers:
            with suppress(ProcessLookupError):
                os.kill(chance.choice(workers), signal.SIGKILL)
                watch.kills += 1


def _unused_shared_memory() -> set[str]:
    """Files of /dev/shm that no process has open or mapped."""
    used = ""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            used += (folder / "maps").read_text()
            used += " ".join(os.readlink(fd) for fd in (folder / "fd").iterdir())
    return {path.name for path in Path("/dev/shm").iterdir() if path.name not in used}


@pytest.mark.slow
@pytest.mark.long
def test_a_study_of_300_trials_outlives_a_kill_every_20_seconds(local: dict[str, str], tmp_path: Path) -> None:
    storage, ended, watch = tmp_path / "runs", threading.Event(), Watch()
    shared_before = _unused_shared_memory()
    write_synthetic(tmp_path / "data", rows=20_000, seed=1)
    more = ("--scales", "1", "2", "--seeds", str(TRIALS // 2), "--max-retries", "5")
    with driver([*arguments(tmp_path / "data", storage, *more), *SIZE], local, tmp_path / "output") as process:
        watching = threading.Thread(target=_watch, args=(process.pid, storage, ended, watch))
        watching.start()
        status = process.wait()
        ended.set()
        watching.join()
    output = (tmp_path / "output").read_text()
    assert status == 0, output
    assert f"{TRIALS} of {TRIALS} trials finished" in output

    study = read_study(storage / "tiny")
    assert study_status(study).finished == TRIALS
    begun = Counter(line.trial_id for line in lines(storage) if line.kind == "begin")
    ends = Counter(line.trial_id for line in lines(storage) if line.kind == "end")
    assert ends == Counter(dict.fromkeys((spec.trial_id for spec in study.spec.trials), 1))
    assert TRIALS <= begun.total() <= TRIALS + watch.kills
    early = max(size for count, size in watch.memory.items() if EARLY - 5 <= count <= EARLY)
    late = max(size for count, size in watch.memory.items() if TRIALS - 10 <= count < TRIALS)
    print(
        f"{TRIALS} trials, {watch.kills} kills, {begun.total() - TRIALS} trials begun again; driver's memory "
        f"{early / 2**20:.0f} MiB at trial {EARLY}, {late / 2**20:.0f} MiB at trial {TRIALS}"
    )
    assert watch.kills >= 5
    assert late < GROWTH * early
    assert gone(local)
    assert not _unused_shared_memory() - shared_before
    assert not list(storage.glob("claims/*"))
    assert not list(storage.glob("trials/*/checkpoint"))
