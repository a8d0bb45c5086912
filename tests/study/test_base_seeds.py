"""More seeds of the base, and of nothing else."""

import importlib
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from recscale.errors import ConfigError
from recscale.study.grid import resolve_all


@pytest.fixture
def recipe(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """studies/scaling.py as a module."""
    monkeypatch.syspath_prepend(str(project_root / "studies"))
    return importlib.import_module("scaling")


def test_only_the_base_gets_more_seeds(recipe: ModuleType) -> None:
    options = recipe.parse(recipe.PRESETS, ["--base-seeds", "5", "--families", "dnn"], None)
    trials = resolve_all(recipe.grids_of(options), "data").trials
    cells = Counter((spec.model.scale, spec.model.num_sets) for spec in trials)
    assert cells == {(1, 1): 5, (2, 1): 2, (2, 2): 2, (4, 1): 2, (4, 4): 2}


def test_without_the_flag_the_grid_is_as_it_was_and_fewer_are_refused(recipe: ModuleType) -> None:
    assert len(recipe.grids_of(recipe.parse(recipe.PRESETS, [], None))) == 1
    with pytest.raises(ConfigError, match="--base-seeds 1 is fewer than --seeds 2"):
        recipe.grids_of(recipe.parse(recipe.PRESETS, ["--base-seeds", "1"], None))
