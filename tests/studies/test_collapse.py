"""The collapse recipe: its grids, and what it refuses."""

import importlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from recscale.errors import ConfigError
from recscale.records import Penalty
from recscale.study.grid import resolve_all

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = ("--families", "dcnv2", "dnn")


@pytest.fixture(scope="module")
def recipe():
    """The recipe's module, found as `python studies/collapse.py` finds it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "studies")
        yield importlib.import_module("collapse")


def _trials(recipe, *arguments):
    options = recipe.parse(recipe.PRESETS, [*FAMILIES, *arguments], None)
    return resolve_all(recipe.grids_of(options), "data").trials


def _cells(trials):
    return Counter((t.model.family, t.model.scale, t.model.num_sets, t.train.penalty) for t in trials)


def test_every_family_over_scales_and_dcnv2_with_the_regulariser_beside_it(recipe):
    trials = _trials(recipe)
    shapes = [(1, 1), (2, 1), (2, 2), (4, 1), (4, 4)]
    plain = {(family, *shape, Penalty.NONE) for family in ("dcnv2", "dnn") for shape in shapes}
    regularized = {("dcnv2", scale, 1, Penalty.ORTHOGONALITY) for scale in (1, 2, 4)}
    assert _cells(trials) == dict.fromkeys(plain | regularized, 2)
    without = {replace(t.train, penalty=Penalty.NONE, penalty_weight=None) for t in trials}
    assert len(without) == 1


def test_every_weight_is_trained(recipe):
    trials = _trials(recipe, "--orthogonality-weights", "1e-5", "1e-2", "--regularized", "dcnv2")
    weights = Counter(t.train.penalty_weight for t in trials)
    assert weights == {None: 20, 1e-5: 6, 1e-2: 6}


def test_without_regularised_families_the_grid_is_the_families(recipe):
    assert {t.train.penalty for t in _trials(recipe, "--regularized")} == {Penalty.NONE}


def test_further_axes_are_those_of_both_grids(recipe):
    trials = _trials(recipe, "--axes", "learning_rate=1e-3,1e-2")
    assert Counter((t.train.learning_rate, t.train.penalty) for t in trials) == {
        (1e-3, Penalty.NONE): 20,
        (1e-2, Penalty.NONE): 20,
        (1e-3, Penalty.ORTHOGONALITY): 6,
        (1e-2, Penalty.ORTHOGONALITY): 6,
    }


def test_the_paper_preset_has_the_papers_scales_and_seeds(recipe):
    trials = _trials(recipe, "--preset", "paper")
    assert {t.model.scale for t in trials} == {1, 2, 3, 4, 10}
    assert set(_cells(trials).values()) == {3}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--penalty", "orthogonality"),
        ("--penalty-weight", "0.1"),
        ("--axes", "penalty=none,orthogonality"),
        ("--axes", "penalty_weight=0.1"),
    ],
)
def test_settings_that_the_study_compares_are_refused(recipe, arguments):
    with pytest.raises(ConfigError, match="choose with --regularized and --orthogonality-weights"):
        _trials(recipe, *arguments)
