from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recscale.curves.paired import MOST_BLOCKS, compare, difference, holm, pooled_noise, row_bootstrap
from recscale.curves.verdict import Better
from recscale.errors import DataError


def _combine(difference_T, covariance_TT, better, level=0.9):
    """One cell by itself, with the attributes of both records."""
    cell = difference(difference_T, covariance_TT)
    found = compare(cell, pooled_noise([cell]), better, level=level)
    return SimpleNamespace(**asdict(cell), **asdict(found))


def test_without_shared_noise_it_is_the_paired_t_test():
    difference = np.array([2e-4, 3e-4, 1e-4, 2.5e-4])
    found = _combine(difference, np.diag(np.full(4, 1e-9)), Better.HIGHER, level=0.9)
    expected = stats.ttest_1samp(difference, 0.0)
    interval = expected.confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.p_better == pytest.approx(1 - expected.pvalue / 2)
    assert found.freedom == pytest.approx(3)
    assert _combine(difference, np.diag(np.full(4, 1e-9)), Better.LOWER).p_better == pytest.approx(expected.pvalue / 2)


def test_seeds_do_not_remove_the_noise_that_they_share():
    shared = np.full((50, 50), 4e-8)
    found = _combine(np.full(50, 1e-4), shared, Better.HIGHER)
    assert found.seed_std == pytest.approx(0, abs=1e-18)
    assert found.standard_error == pytest.approx(2e-4)
    assert found.p_better == pytest.approx(stats.norm.cdf(0.5))


def test_one_seed_has_the_test_sets_noise_only():
    found = _combine(np.array([3e-4]), np.array([[1e-8]]), Better.HIGHER)
    assert (found.seeds, found.seed_std, found.freedom) == (1, None, None)
    assert found.standard_error == pytest.approx(1e-4)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(3))


def test_intervals_cover_a_difference_with_both_noises():
    rng = np.random.default_rng(0)
    seeds, own, shared, between, truth = 4, 3e-8, 2e-8, 2e-8, 1e-4
    covariance = np.full((seeds, seeds), shared) + np.diag(np.full(seeds, own))
    hits = []
    for _ in range(1000):
        common = rng.normal(0, np.sqrt(shared))
        found = _combine(truth + common + rng.normal(0, np.sqrt(own + between), seeds), covariance, Better.HIGHER)
        hits.append(found.low <= truth <= found.high)
    assert 0.87 < np.mean(hits) < 0.94


def test_noise_is_pooled_by_degrees_of_freedom():
    cells = [difference(np.array(values), np.zeros((len(values),) * 2)) for values in ([1, 3], [0, 3, 6], [5.0])]
    noise = pooled_noise(cells)
    assert noise.std**2 == pytest.approx((1 * 2 + 2 * 9) / 3)
    assert noise.freedom == 3
    assert pooled_noise(cells[2:]) is None


def test_two_seeds_that_agree_by_chance_are_not_certain_beside_cells_that_scatter():
    agreeing, scattered = (difference(np.array(values), np.full((2, 2), 1e-10)) for values in ([1, 1], [0.0, 2]))
    alone = compare(agreeing, pooled_noise([agreeing]), Better.HIGHER)
    beside = compare(agreeing, pooled_noise([agreeing, scattered]), Better.HIGHER)
    assert alone.p_value < 1e-9
    assert beside.p_value > 0.1


def test_pooled_tests_of_no_difference_are_level():
    """Cells of two seeds: p values are uniform, also below 0.01, where agreeing pairs would pile up."""
    rng = np.random.default_rng(4)
    p_values = []
    for _ in range(600):
        common = rng.normal(0, 1e-4, 6)
        values = common[:, None] + rng.normal(0, 3e-4, (6, 2))
        cells = [difference(row, np.full((2, 2), 1e-8)) for row in values]
        noise = pooled_noise(cells)
        p_values += [compare(cell, noise, Better.HIGHER).p_value for cell in cells]
    assert 0.08 < np.mean(np.array(p_values) < 0.1) < 0.12
    assert np.mean(np.array(p_values) < 0.01) < 0.02


def test_one_seed_beside_cells_with_seeds_takes_their_noise():
    single, other = difference(np.array([1.0]), np.array([[0.04]])), difference(np.array([0.0, 2]), np.zeros((2, 2)))
    found = compare(single, pooled_noise([single, other]), Better.HIGHER)
    assert found.standard_error**2 == pytest.approx(0.04 + 2)


def test_equal_arms_differ_by_nothing_for_sure():
    found = _combine(np.zeros(2), np.zeros((2, 2)), Better.HIGHER)
    assert (found.low, found.high, found.p_value, found.p_better) == (0, 0, 1, 0.5)
    assert _combine(np.full(2, 1e-4), np.zeros((2, 2)), Better.HIGHER).p_better == 1


def test_row_bootstrap_is_the_covariance_of_means_of_rows():
    rng = np.random.default_rng(1)
    common = rng.standard_normal(3000)
    difference = np.stack([common + rng.standard_normal(3000), common + 0.5 * rng.standard_normal(3000)])
    expected = np.cov(difference) / 3000
    np.testing.assert_allclose(row_bootstrap(difference, replicates=3000), expected, rtol=0.1)
    np.testing.assert_array_equal(row_bootstrap(difference), row_bootstrap(difference))


def test_blocks_of_many_rows_keep_the_variance():
    difference = np.random.default_rng(2).exponential(size=(1, 5 * MOST_BLOCKS + 3))
    found = row_bootstrap(difference, replicates=600)[0, 0]
    assert found == pytest.approx(difference.var() / difference.shape[1], rel=0.2)


def test_one_row_is_refused():
    with pytest.raises(DataError, match="got 1 test rows"):
        row_bootstrap(np.zeros((2, 1)))


def test_holm_on_its_textbook_steps():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.6, 0.5]) == (1.0, 1.0)
    assert holm([]) == ()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.999))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values, alpha):
    rejected = set()
    for step, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[index] * (len(p_values) - step) > alpha:
            break
        rejected.add(index)
    assert {i for i, value in enumerate(holm(p_values)) if value <= alpha} == rejected
