"""The ablation recipe: its grids, and what it refuses."""

import importlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from recscale.errors import ConfigError
from recscale.records import Combination, Penalty, Sharing
from recscale.study.grid import resolve_all

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def recipe():
    """The recipe's module, found as `python studies/ablations.py` finds it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "studies")
        yield importlib.import_module("ablations")


def _options(recipe, *arguments):
    return recipe.parse(recipe.PRESETS, [*arguments], None)


def _cells(recipe, *arguments):
    trials = resolve_all(recipe.grids_of(_options(recipe, *arguments)), "data").trials
    return Counter(
        (t.model.scale, t.model.num_sets, t.model.sharing, t.model.combination, t.train.penalty) for t in trials
    )


def test_every_variant_is_trained_beside_the_baselines_with_the_same_settings(recipe):
    separate, mean, none = Sharing.SEPARATE, Combination.MEAN_FEATURES, Penalty.NONE
    expected = {
        (1.0, 1, separate, mean, none),
        (4.0, 1, separate, mean, none),
        (4.0, 4, separate, mean, none),
        (4.0, 4, Sharing.SHARED_INTERACTION, mean, none),
        (4.0, 4, Sharing.SHARED_TABLES, mean, none),
        (4.0, 4, separate, Combination.MEAN_LOGITS, none),
        (4.0, 4, separate, Combination.CONCATENATION, none),
        (4.0, 4, separate, mean, Penalty.PATTERN_ALIGNMENT),
        (4.0, 4, separate, mean, Penalty.SUBSPACE_SIMILARITY),
        (1.0, 1, separate, mean, Penalty.SPECTRUM_FLATTENING),
        (4.0, 1, separate, mean, Penalty.SPECTRUM_FLATTENING),
    }
    assert _cells(recipe) == dict.fromkeys(expected, 2)
    trials = resolve_all(recipe.grids_of(_options(recipe)), "data").trials
    shared = {replace(t.model, scale=1.0, num_sets=1, sharing=separate, combination=mean) for t in trials}
    assert len(shared) == len({replace(t.train, penalty=none) for t in trials}) == 1


def test_the_paper_preset_is_dcnv2_at_scale_10_with_3_seeds(recipe):
    cells = _cells(recipe, "--preset", "paper")
    assert {cell[:2] for cell in cells} == {(10.0, 1), (10.0, 10)}
    assert set(cells.values()) == {3}


def test_a_penalty_weight_leaves_the_baselines_as_they_are(recipe):
    def ids(*more):
        return {
            t.trial_id: t.train
            for t in resolve_all(
                recipe.grids_of(_options(recipe, "--ablations", "pattern_alignment", *more)), "d"
            ).trials
        }

    usual, weighted, axis = ids(), ids("--penalty-weight", "0.5"), ids("--axes", "penalty_weight=0.1,0.5")
    baselines = {trial for trial, train in usual.items() if train.penalty is Penalty.NONE}
    assert baselines < weighted.keys()
    assert baselines < axis.keys()
    assert {train.penalty_weight for trial, train in weighted.items() if trial not in baselines} == {0.5}
    assert {train.penalty_weight for trial, train in axis.items() if trial not in baselines} == {0.1, 0.5}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sharing", "shared_tables"), "sharing is what ablations compare"),
        (("--axes", "penalty=none,orthogonality"), "penalty is what ablations compare"),
        (("--scales", "1"), "have no multi-embedding; add a scale above 1"),
    ],
)
def test_refuses_what_leaves_nothing_to_compare(recipe, arguments, message):
    with pytest.raises(ConfigError, match=message):
        recipe.grids_of(_options(recipe, *arguments))
