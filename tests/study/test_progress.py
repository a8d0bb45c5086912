"""The live line: counts, failures and a time left that follows the plan."""

import pytest

from recscale.study.progress import Progress


def test_counts_and_time_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    monkeypatch.setattr("recscale.study.progress.time.monotonic", lambda: now[0])
    with Progress({"a": 10.0, "b": 30.0, "c": 20.0}, finished_before=1, slots=2) as progress:
        assert progress.seconds_left() is None
        progress.started("a")
        progress.started("b")
        now[0] += 20.0  # a takes twice its plan
        progress.ended("a", None)
        assert progress.seconds_left() == pytest.approx((2 * 30 - 20 + 2 * 20) / 2)
        progress.started("c")
        now[0] += 40.0
        progress.ended("c", "Traceback\nTrialError: boom")
        assert progress.seconds_left() == pytest.approx(0.0)
    shown = capsys.readouterr().err
    assert "trial c failed: TrialError: boom" in shown
    assert "3/4" in shown
    assert "1 running, 1 failed" in shown


def test_trials_of_one_process_share_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("recscale.study.progress.time.monotonic", lambda: now[0])
    planned = dict.fromkeys("abcd", 10.0)
    with Progress(planned, finished_before=0, slots=1, sharing={"a": 2, "b": 2, "c": 2, "d": 2}) as progress:
        for pair in ("ab", "cd"):
            for trial in pair:
                progress.started(trial)
            now[0] += 20.0  # as planned
            if pair == "ab":
                for trial in pair:
                    progress.ended(trial, None)
                assert progress.seconds_left() == pytest.approx(20.0)
            else:
                assert progress.seconds_left() == pytest.approx(0.0)
