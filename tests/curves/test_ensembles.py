"""Which base models come together, and what is said of the ensembles."""

import re
from itertools import combinations

import pytest

from recscale.curves.curve import Observation
from recscale.curves.differences import difference
from recscale.curves.ensembles import EnsembleCell, Grouping, against, ensemble_sentence, groups_of, lacking, spread
from recscale.curves.verdict import Better

IDS = tuple("abcdefgh")


def scored(values):
    return [Observation(2.0, 2.0, value, f"trial{i}") for i, value in enumerate(values)]


@pytest.mark.parametrize(("models", "size"), [(8, 2), (7, 3), (8, 4)])
def test_groups_are_separate_where_two_fit(models, size):
    found = groups_of(IDS[:models], size)
    members = [trial for group in found.members for trial in group]
    assert found.grouping is Grouping.DISJOINT
    assert len(found.members) == models // size
    assert len(members) == len(set(members))


def test_else_every_combination_up_to_a_number_that_is_drawn():
    assert groups_of(IDS[:3], 2).members == tuple(combinations("abc", 2))
    assert groups_of(IDS[:2], 3).members == ()
    first, again, other = (groups_of(IDS, 5, most=10, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert first.grouping is Grouping.OVERLAPPING
    assert len(set(first.members)) == 10
    assert set(first.members) <= set(combinations(IDS, 5))


def test_separate_groups_have_an_interval_and_overlapping_ones_a_mean():
    ensembles, rivals = scored([0.71, 0.72]), scored([0.70, 0.69, 0.70])
    assert against(ensembles, rivals, Grouping.DISJOINT) == difference(ensembles, rivals)
    shared = against(ensembles, rivals, Grouping.OVERLAPPING)
    assert (shared.value, shared.low) == (pytest.approx(2.09 / 3 - 0.715), None)
    assert spread(ensembles, Grouping.OVERLAPPING) is None
    assert against([], rivals, Grouping.OVERLAPPING) is None


def test_what_is_lacking_is_a_flag():
    assert lacking(4, 3) == "4 base models needed, 3 found: run the study with --base-seeds 4"
    assert lacking(4, 5).endswith("--base-seeds 8 gives an interval")
    assert lacking(4, 8) == ""


def cell(members, mean, gap, low, high, note=""):
    multi = None if mean is None else mean + gap
    return EnsembleCell(
        "dnn", "fair", "test_auc", members, 8, 2, "disjoint", mean, 0.001, 1, 1, 1, multi, gap, low, high, None, None,
        None, None, IDS, note,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([cell(2, 0.7, -0.01, -0.02, -0.005)], "worse than separate models"),
        ([cell(2, 0.7, 0.01, 0.005, 0.02)], "better than separate models"),
        ([cell(2, 0.7, 0.01, -0.005, 0.02), cell(8, 0.7, 0.01, None, None, "x")], "2 separate .* within seed noise"),
        ([cell(8, 0.7, 0.01, None, None, "add seeds")], r"without an interval \(add seeds\)"),
        ([cell(8, None, 0.0, None, None, "8 needed")], "no ensemble can be compared: 8 needed"),
    ],
)
def test_the_sentence_follows_the_interval(cells, said):
    sentence = ensemble_sentence("dnn", cells, "test AUC", Better.HIGHER)
    assert sentence.startswith("dnn: ")
    assert re.search(said, sentence)
