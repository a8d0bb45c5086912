"""Tuned settings: kept and read again, refused where they are of something else, and applied cell by cell."""

from dataclasses import replace
from pathlib import Path

import pytest

from recscale.errors import ConfigError, DataError
from recscale.records import TrialSpec
from recscale.study.grid import Axis, Grid, check_cells, resolve, resolve_all
from recscale.study.tuned import SearchPoint, TunedCell, TunedSettings, read_tuned, untuned_point, write_tuned

UNTUNED = SearchPoint(learning_rate=1e-3, weight_decay=1e-6, dropout=0.2)


def _settings(grid: Grid, fingerprint: str | None = "data") -> TunedSettings:
    """A learning rate of its own for every cell; the first cell keeps the untuned settings."""
    cells = dict.fromkeys(replace(spec, seed=0) for spec in resolve(grid, "data").trials)
    points = [replace(UNTUNED, learning_rate=1e-3 * (1 + place)) for place in range(len(cells))]
    tuned = [TunedCell(c.model, c.train, p, 0.7, 8) for c, p in zip(cells, points, strict=True)]
    return TunedSettings(fingerprint, tuple(tuned))


def _groups(grid: Grid) -> list[Grid]:
    return [replace(grid, name="untuned"), replace(grid, name="tuned", per_cell=_settings(grid))]


def test_what_is_written_is_read_again(grid: Grid, tmp_path: Path) -> None:
    settings = _settings(grid)
    assert read_tuned(write_tuned(tmp_path, settings), "data") == settings


def test_every_cell_gets_its_own_settings_and_keeps_all_others(grid: Grid) -> None:
    settings = _settings(grid)
    tuned = resolve(replace(grid, per_cell=settings), "data").trials
    untuned = resolve(grid, "data").trials
    assert len(tuned) == len(untuned)
    chosen = {(cell.model.family, cell.model.scale, cell.model.num_sets): cell.point for cell in settings.cells}
    for before, after in zip(untuned, tuned, strict=True):
        assert untuned_point(after) == chosen[after.model.family, after.model.scale, after.model.num_sets]
        assert UNTUNED.applied_to(after) == before


def test_a_cell_whose_untuned_settings_won_is_one_trial_in_both_groups(grid: Grid) -> None:
    resolved = resolve_all(_groups(grid), "data")
    untuned, tuned = (set(group.trial_ids) for group in resolved.groups)
    assert [group.name for group in resolved.groups] == ["untuned", "tuned"]
    assert resolved.groups[1].per_cell == ("learning_rate", "weight_decay", "dropout")
    first = next(spec for spec in resolved.trials)
    assert first.trial_id in untuned & tuned
    assert len(untuned & tuned) == grid.seeds
    assert {spec.trial_id for spec in resolved.trials} == untuned | tuned


def test_settings_of_another_dataset_are_refused_and_those_of_none_are_not(grid: Grid, tmp_path: Path) -> None:
    path = write_tuned(tmp_path, _settings(grid, "f" * 64))
    with pytest.raises(DataError, match=r"was tuned on dataset ffffffffffff, but this study's is data; point --data"):
        read_tuned(path, "data")
    assert read_tuned(write_tuned(tmp_path, _settings(grid, None)), "data").cells


def test_a_missing_and_a_broken_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*absent.json: No such file.*studies/tuning.py writes"):
        read_tuned(tmp_path / "absent.json", "data")
    (tmp_path / "tuned.json").write_text('{"dataset_fingerprint": "data", "cells": [{}]}')
    with pytest.raises(DataError, match=r"tuned.json is not a valid TunedSettings: at cells.0"):
        read_tuned(tmp_path / "tuned.json", "data")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scales": (8.0,)}, "dnn scale=8 sets=1 .fair. has not been tuned; tuned are: dcnv2 scale=1 sets=1, "),
        ({"base_dim": 8}, "dnn scale=1 sets=1 was tuned with base_dim 4, not 8; give both studies the same settings"),
        ({"axes": (Axis("max_epochs", ("2",)),)}, "was tuned with max_epochs 1, not 2"),
        ({"axes": (Axis("hidden_sizes", ("8+4",)),)}, r"was tuned with hidden_sizes 8\+8, not 8\+4"),
        ({"axes": (Axis("dropout", ("0.1",)),)}, "axis dropout is a setting that every cell has for itself"),
    ],
)
def test_a_grid_with_a_cell_that_was_not_tuned_is_refused(changes: dict[str, object], message: str, grid: Grid) -> None:
    settings = _settings(grid)
    check_cells(replace(grid, per_cell=settings), "data")
    with pytest.raises(ConfigError, match=message):
        check_cells(replace(grid, per_cell=settings, **changes), "data")


def test_settings_that_a_grid_has_anyway_do_not_matter(grid: Grid) -> None:
    other = replace(grid, train=replace(grid.train, learning_rate=0.5), per_cell=_settings(grid))
    same: tuple[TrialSpec, ...] = resolve(replace(grid, per_cell=_settings(grid)), "data").trials
    assert resolve(other, "data").trials == same
