"""Interpolation in log x, Welch's interval at a scale and simulated coverage between, and nothing outside."""

import re

import numpy as np
import pytest
from scipy import stats

from recscale.curves.budget_words import budget_sentence, outcome
from recscale.curves.curve import Observation
from recscale.curves.equal_budget import BudgetAxis, compare
from recscale.curves.verdict import Better


def cell(scale, x, values):
    return [Observation(float(scale), float(x), float(value), f"{scale:g}-{i}") for i, value in enumerate(values)]


def test_at_a_scale_of_single_embedding_it_is_scipys_welch_interval():
    single, multi = [0.5, 0.52, 0.51], [0.54, 0.53, 0.56, 0.55]
    found = compare(cell(1, 10, [0.4, 0.41]) + cell(2, 20, single), cell(2, 20.1, multi))
    expected = stats.ttest_ind(multi, single, equal_var=False).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.lower_scale, found.upper_scale) == (2, 2)
    assert found.value == pytest.approx(np.mean(multi) - np.mean(single))


def test_between_scales_it_is_numpys_interpolation_in_log_x():
    sizes, means = [10.0, 40.0, 90.0], [0.7, 0.72, 0.71]
    single = [item for s, x, mean in zip((1, 2, 4), sizes, means, strict=True) for item in cell(s, x, [mean] * 2)]
    for x in (15.0, 60.0):
        found = compare(single, cell(2, x, [0.73, 0.73]))
        expected = np.interp(np.log(x), np.log(sizes), means)
        assert found.single == pytest.approx(expected)
        assert found.value == pytest.approx(0.73 - expected)


def test_intervals_between_scales_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(600):
        single = cell(1, 10, rng.normal(0.7, 1e-3, 3)) + cell(2, 40, rng.normal(0.72, 2e-3, 4))
        found = compare(single, cell(2, 20, rng.normal(0.715, 1e-3, 3)))
        hits.append(found.low <= 0.005 <= found.high)
    assert 0.86 < np.mean(hits) < 0.95


@pytest.mark.parametrize(("x", "message"), [(5, "smaller than .* scale 1"), (50, "larger than .* scale 2")])
def test_outside_the_sizes_of_single_embedding_nothing_is_said(x, message):
    found = compare(cell(1, 10, [0.7, 0.7]) + cell(2, 40, [0.7, 0.7]), cell(2, x, [0.7, 0.7]))
    assert (found.single, found.value, found.low) == (None, None, None)
    assert outcome(found, Better.HIGHER) == "outside SE's range"
    assert re.search(message, found.note)


def test_one_seed_gives_a_difference_without_an_interval():
    found = compare(cell(1, 10, [0.7]) + cell(2, 40, [0.72, 0.73]), cell(2, 20, [0.7, 0.71]))
    assert found.value is not None
    assert (found.low, found.note) == (None, "one seed at scale 1 gives no interval: add seeds")


def test_several_scales_of_one_size_are_no_curve():
    found = compare(cell(1, 10, [0.7]) + cell(2, 10, [0.8]), cell(2, 10, [0.7]))
    assert "same size at several scales" in found.note
    assert compare([], cell(2, 10, [0.7])).note == "no single-embedding trial has finished"


def test_the_sentence_counts_outcomes_and_joins_axes_that_share_them():
    base = cell(1, 10, [0.700, 0.701]) + cell(2, 40, [0.700, 0.701])
    better, noise, outside = (
        compare(base, cell(2, x, values)) for x, values in ((20, [0.9, 0.901]), (20, [0.7, 0.701]), (80, [0.7, 0.7]))
    )
    found = {
        BudgetAxis.SCALE: [better, noise],
        BudgetAxis.TOTAL_PARAMS: [better, better],
        BudgetAxis.DENSE_PARAMS: [better, better],
        BudgetAxis.FLOPS: [outside],
    }
    assert budget_sentence("dnn", Better.HIGHER, found) == (
        "dnn: multi-embedding is at equal scale better in 1 of 2, within seed noise in 1 of 2; at equal total "
        "parameters and dense parameters better in all 2 cells; at equal FLOPs outside SE's range in 1 of 1."
    )
    assert outcome(better, Better.LOWER) == "worse"
