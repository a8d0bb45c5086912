"""toy.parquet: what is asked for, run once."""

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recscale.collapse.toy import ToySettings, run_toy
from recscale.errors import ConfigError, DataError
from recscale.study import toy
from recscale.study.toy import TOY_SCHEMA, toy_grid, write_toy

SHORT = [ToySettings(4, 3, seed, steps=20) for seed in range(2)]


def test_the_table_holds_every_look_of_every_run(tmp_path: Path) -> None:
    table = pq.read_table(write_toy(tmp_path, SHORT))
    assert table.schema.equals(TOY_SCHEMA)
    assert [(row["seed"], row["step"]) for row in table.to_pylist()] == [(0, 0), (0, 20), (1, 0), (1, 20)]
    last = run_toy(SHORT[1])[-1]
    row = table.to_pylist()[-1]
    assert row["information_abundance"] == last.information_abundance
    assert tuple(row["third_alpha"]) == last.third.alpha
    assert tuple(row["second_energy"]) == last.second.energy
    assert len(row["third_spectrum"]) == 3


def test_only_what_is_new_is_run_and_what_is_not_wanted_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_toy(tmp_path, SHORT)
    ran: list[ToySettings] = []
    monkeypatch.setattr(toy, "run_toy", lambda settings: (ran.append(settings), run_toy(settings))[1])
    longer = ToySettings(4, 3, 0, steps=30)
    write_toy(tmp_path, [SHORT[1], longer])
    assert ran == [longer]
    rows = pq.read_table(tmp_path / "toy.parquet").to_pylist()
    assert [(row["seed"], row["steps"], row["step"]) for row in rows] == [
        (1, 20, 0),
        (1, 20, 20),
        (0, 30, 0),
        (0, 30, 30),
    ]
    write_toy(tmp_path, [])
    assert pq.read_table(tmp_path / "toy.parquet").num_rows == 0


def test_runs_that_ended_before_an_interruption_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(settings: ToySettings) -> object:
        if settings.seed == 1:
            raise KeyboardInterrupt
        return run_toy(settings)

    monkeypatch.setattr(toy, "run_toy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_toy(tmp_path, SHORT)
    assert set(pq.read_table(tmp_path / "toy.parquet")["seed"].to_pylist()) == {0}
    assert os.listdir(tmp_path) == ["toy.parquet"]


def test_the_grid_has_the_papers_two_sizes() -> None:
    grid = toy_grid([10, 20], seeds=2)
    assert {(run.embed_dim, run.third_size, run.seed) for run in grid} == {
        (dim, size, seed) for dim in (10, 20) for size in (3, 100) for seed in (0, 1)
    }
    assert {(run.steps, run.learning_rate) for run in grid} == {(5_000, 1.0)}
    with pytest.raises(ConfigError, match=r"toy dims \[0\]"):
        toy_grid([0], seeds=1)


def test_a_broken_table_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "toy.parquet").write_bytes(b"PAR1 not a table")
    with pytest.raises(DataError, match=r"toy.parquet cannot be read as Parquet"):
        write_toy(tmp_path, SHORT)
