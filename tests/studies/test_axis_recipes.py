"""The recipes along one axis: their grids, presets and plans."""

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from dashboards.pages import PAGES
from recscale.data.reader import Dataset
from recscale.records import Decay, TableOptimizer, TrialSpec, canonical_json, from_json, to_plain
from recscale.study.grid import resolve_all
from recscale.study.results import further_axes

AXES = {
    "data_amount": ("train_fraction",),
    "depth": ("cross_layers",),
    "decay": ("weight_decay", "decay", "table_optimizer"),
}
TINY = ("--hidden-sizes", "8", "--families", "dcnv2", "--scales", "1", "--sets", "1", "--seeds", "1")


@pytest.fixture(scope="module", autouse=True)
def studies() -> Iterator[None]:
    """Recipes find each other as they do when they are run: in their own folder."""
    folder = str(Path(__file__).parents[2] / "studies")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


def _recipe(name: str) -> ModuleType:
    return importlib.import_module(name)


def _planned(name: str, *arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [f"{name}.py", *arguments, "--plan"])
        patch.delenv("RAY_ADDRESS", raising=False)
        assert _recipe(name).main() == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "more", "trials"),
    [
        ("data_amount", ("--fractions", "0.1", "0.5", "1"), 3),
        ("depth", ("--layers", "1", "3"), 2),
        ("decay", (), 12),
        ("decay", ("--table-optimizers", "adam", "lazy_adam"), 6),
        ("decay", ("--axes", "learning_rate=1e-3,1e-4"), 24),
    ],
)
def test_a_plan_has_a_trial_per_value(
    name: str,
    more: tuple[str, ...],
    trials: int,
    small_dataset: Dataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = ("--data", str(small_dataset.path), "--storage", str(tmp_path / "runs"))
    assert f"{trials} trials, 0 finished, 0 points refused" in _planned(name, *place, *TINY, *more, capsys=capsys)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", sorted(AXES))
def test_every_preset_differs_in_its_axis_alone_and_has_a_page(name: str, small_dataset: Dataset) -> None:
    recipe = _recipe(name)
    assert recipe.RECIPE in PAGES
    for options in recipe.PRESETS.values():
        resolved = resolve_all(recipe.grids(options), small_dataset.manifest.fingerprint)
        assert not resolved.refused
        for trial in resolved.trials:
            assert from_json(TrialSpec, canonical_json(to_plain(trial)), "its own text").trial_id == trial.trial_id
        assert set(further_axes(resolved.trials)) == {*AXES[name]}


def test_decay_levels_are_none_coupled_and_decoupled_under_every_optimizer(small_dataset: Dataset) -> None:
    decay = _recipe("decay")
    options = replace(next(iter(decay.PRESETS.values())), coupled_decay=1e-5, decoupled_decay=0.5)
    trials = resolve_all(decay.grids(options), small_dataset.manifest.fingerprint).trials
    found = {(trial.train.table_optimizer, trial.train.weight_decay, trial.train.decay) for trial in trials}
    levels = [(0.0, Decay.COUPLED), (1e-5, Decay.COUPLED), (0.5, Decay.DECOUPLED)]
    assert found == {(optimizer, *level) for optimizer in TableOptimizer for level in levels}
