"""A preparation says how far it is: a bar on a terminal, now and then a line elsewhere, nothing when it is short."""

import io
import re

import pytest

from recscale.data import progress
from recscale.data.options import PrepareOptions
from recscale.data.prepare import prepare
from recscale.data.sources.table import TableSource

STEPS = ("reading", "counting", "numbering", "encoding", "writing")
ROWS = 300


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def run(tmp_path):
    (tmp_path / "t.csv").write_text("label,c\n" + "".join(f"{n % 2},v{n % 5}\n" for n in range(ROWS)))
    source = TableSource(tmp_path / "t.csv", categorical=("c",))
    return lambda: prepare(source, tmp_path / "dataset", PrepareOptions())


def test_a_short_preparation_into_a_log_says_nothing(run, capsys):
    run()
    assert capsys.readouterr() == ("", "")


def test_a_long_one_reports_every_step_to_its_end_in_lines(run, capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    run()
    lines = capsys.readouterr().err.splitlines()
    last = {line.split(":")[0]: line for line in lines}
    assert tuple(last) == STEPS
    assert last["reading"] == f"reading: {ROWS} rows"
    assert last["numbering"] == "numbering: 1 of 1 fields"
    for step in ("counting", "encoding", "writing"):
        assert last[step] == f"{step}: {ROWS} of {ROWS} rows"


def test_on_a_terminal_every_step_is_a_bar_that_ends(run, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    run()
    shown = terminal.getvalue()
    for step in STEPS:
        last = re.split(r"[\r\n]", shown[shown.rindex(step) :])[0]
        assert ("100%" in last) if step != "reading" else (f"{ROWS}row" in last.replace(".", "")), last
    assert shown.endswith("\n")
