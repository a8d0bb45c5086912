"""Claims by real processes and on a real S3 server: one holder at a time, whatever dies and whatever clocks say."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recscale.errors import DataError
from recscale.records import TrialResult
from recscale.storage.location import location
from recscale.study import claims
from recscale.study.claims import Claims
from recscale.study.store import TrialStatus
from recscale.study.study import Study, check_name
from recscale.study.turns import Turn, Turns
from tests.storage.servers import Fault, FaultyProxy

LOOK_SECONDS = 0.05
THINGS = [f"trial{number}" for number in range(30)]
RACER = """
import sys
from pathlib import Path
from recscale.study import claims
from recscale.study.claims import Claims
claims.LOOK_SECONDS = 0.05
storage, log, things = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
sys.stdin.readline()
with Claims(storage) as claims:
    for thing in claims.each(things):
        if not (log / f"{thing}.done").exists():
            with open(log / thing, "a") as file:
                file.write("begun\\n")
            (log / f"{thing}.done").touch()
"""
HOLDER = """
import sys
from pathlib import Path
from recscale.study import claims
if sys.argv[2:]:
    claims.machine = lambda: sys.argv[2]
with claims.Claims(Path(sys.argv[1]), beat=0.05) as mine:
    print(mine.take("it"), flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "LOOK_SECONDS", LOOK_SECONDS)


def _holder(storage: Path, *elsewhere: str) -> subprocess.Popen[str]:
    """A process that holds the claim on `it`; on this machine, or as one of another would."""
    command = [sys.executable, "-c", HOLDER, str(storage), *elsewhere]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    return holder


def _end(holder: subprocess.Popen[str], how: signal.Signals | None = None) -> None:
    """By that signal, or as programs end; it stays a zombie until it is waited for, and then is no process at all."""
    if how is not None:
        holder.send_signal(how)
    holder.communicate()


def _left(storage: Path) -> list[str]:
    return sorted(path.name for path in (storage / claims.FOLDER).iterdir())


def test_of_racing_processes_one_does_each_thing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    command = [sys.executable, "-c", RACER, str(tmp_path), str(log), *THINGS]
    racers = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True) for _ in range(3)]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    assert [racer.communicate() and racer.returncode for racer in racers] == [0, 0, 0]
    assert {thing: (log / thing).read_text() for thing in THINGS} == dict.fromkeys(THINGS, "begun\n")
    assert _left(tmp_path) == []


def test_of_racing_drivers_one_does_each_thing_in_a_bucket(bucket: str, faulty: FaultyProxy) -> None:
    """Through a proxy that answers late, fails, and loses answers."""
    faulty.latency = 0.003
    faulty.fail(Fault.ERROR_503, "PUT", "/claims/", times=3, passed=4)
    faulty.fail(Fault.RESET_AFTER, "PUT", "/claims/", times=2, passed=9)
    at_once, pause = threading.Barrier(3), threading.Event()
    held: set[str] = set()

    def race() -> list[str]:
        done = []
        with Claims(location(f"{bucket}/runs")) as mine:
            at_once.wait()
            for thing in mine.each(THINGS[:8]):
                assert thing not in held
                held.add(thing)
                pause.wait(0.005)
                held.remove(thing)
                done.append(thing)
        return done

    with ThreadPoolExecutor(3) as threads:
        racers = [threads.submit(race) for _ in range(3)]
    assert [sorted(racer.result()) for racer in racers] == [THINGS[:8]] * 3
    assert not list(location(f"{bucket}/runs/{claims.FOLDER}").glob("*.*"))


def test_who_ends_in_peace_leaves_nothing_and_who_is_killed_is_known_by_its_process(tmp_path: Path) -> None:
    for how in (None, signal.SIGKILL):
        holder = _holder(tmp_path)
        with Claims(tmp_path) as mine:
            assert not mine.take("it")
            assert mine.take("other")
            _end(holder, how)
            for it in mine.each(["it"]):
                assert it == "it"
    assert _left(tmp_path) == []


def test_a_process_that_reuses_the_id_of_a_dead_one_is_not_it(tmp_path: Path) -> None:
    (tmp_path / claims.FOLDER).mkdir()
    (tmp_path / claims.FOLDER / f"it.{claims.machine()}-{os.getpid()}-1-abcd").touch()
    with Claims(tmp_path) as mine:
        assert mine.take("it")


@pytest.mark.parametrize("skew", [-86_400, 86_400])
def test_of_another_machine_a_driver_lives_as_long_as_its_file_changes_whatever_its_clock(
    tmp_path: Path, skew: int
) -> None:
    """Its file has the times of a clock that is a day off; only that they change counts, and when they stop."""
    folder = tmp_path / claims.FOLDER
    folder.mkdir()
    theirs = "elsewhere-1-1-abcd"
    (folder / f"it.{theirs}").touch()
    beats = threading.Event()
    with Claims(tmp_path, expiry=0.4) as mine:
        for beat in range(12):
            (folder / f"driver.{theirs}").touch()
            then = (folder / f"driver.{theirs}").stat().st_mtime + skew + (beat % 3)
            os.utime(folder / f"driver.{theirs}", (then, then))
            assert not mine.take("it")
            beats.wait(0.1)
        assert sorted(_left(tmp_path))[0] == f"driver.{theirs}"
        for _ in mine.each(["it"]):
            assert not [name for name in _left(tmp_path) if theirs in name]


def test_a_killed_process_of_another_machine_is_dead_once_its_claim_expires(
    tmp_path: Path,
) -> None:
    holder = _holder(tmp_path, "elsewhere")
    with Claims(tmp_path, expiry=2.0) as mine:
        assert not mine.take("it")
        _end(holder, signal.SIGKILL)
        assert not mine.take("it")
        assert list(mine.each(["it"])) == ["it"]
    assert _left(tmp_path) == []


def test_a_claim_needs_no_space_and_a_storage_that_takes_none_says_so(tmp_path: Path) -> None:
    with Claims(tmp_path) as mine:
        assert mine.take("it")
        assert {path.stat().st_size for path in (tmp_path / claims.FOLDER).iterdir()} == {0}
    (tmp_path / "file").touch()
    with Claims(tmp_path / "file") as mine, pytest.raises((DataError, OSError)):
        mine.take("it")
    with pytest.raises(Exception, match="cannot be used"):
        check_name(claims.FOLDER)


def test_a_trial_that_another_driver_ends_is_not_run_again_and_one_that_it_drops_is(
    study: Study, finish: Callable[..., TrialResult], tmp_path: Path
) -> None:
    done, failed, old, dropped = study.spec.trials[:4]
    store = study.store
    store.write_error(old.trial_id, "boom")
    store.write_error(dropped.trial_id, "boom")
    with Claims(tmp_path) as mine, Claims(tmp_path) as theirs:
        here = Turns(store, mine, [old.trial_id, dropped.trial_id])
        there = Turns(store, theirs, [old.trial_id, dropped.trial_id])
        for spec in (done, failed, dropped):
            assert there.ask(spec.trial_id) is Turn.OURS
            mine._looked = 0.0
            assert here.ask(spec.trial_id) is Turn.THEIRS
        assert here.ask(old.trial_id) is Turn.OURS, "what failed before is tried again"
        assert store.status(old.trial_id) is TrialStatus.MISSING
        finish(store, done)
        store.write_error(failed.trial_id, "boom again")
        for spec in (done, failed, dropped):
            there.end(spec.trial_id)
        mine._looked = 0.0
        assert here.ask(done.trial_id) is Turn.ENDED
        assert here.ask(failed.trial_id) is Turn.ENDED
        assert here.ask(dropped.trial_id) is Turn.OURS
        assert (here.error(done.trial_id), here.error(failed.trial_id)) == (None, "boom again")
        assert here.shared
