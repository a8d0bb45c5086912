import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recscale.curves.paired import MOST_BLOCKS, combine, holm, row_bootstrap
from recscale.curves.verdict import Better
from recscale.errors import DataError


def test_without_shared_noise_it_is_the_paired_t_test():
    difference = np.array([2e-4, 3e-4, 1e-4, 2.5e-4])
    found = combine(difference, np.diag(np.full(4, 1e-9)), Better.HIGHER, level=0.9)
    expected = stats.ttest_1samp(difference, 0.0)
    interval = expected.confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.p_better == pytest.approx(1 - expected.pvalue / 2)
    assert found.freedom == pytest.approx(3)
    assert combine(difference, np.diag(np.full(4, 1e-9)), Better.LOWER).p_better == pytest.approx(expected.pvalue / 2)


def test_seeds_do_not_remove_the_noise_that_they_share():
    shared = np.full((50, 50), 4e-8)
    found = combine(np.full(50, 1e-4), shared, Better.HIGHER)
    assert found.seed_std == pytest.approx(0, abs=1e-18)
    assert found.standard_error == pytest.approx(2e-4)
    assert found.p_better == pytest.approx(stats.norm.cdf(0.5))


def test_one_seed_has_the_test_sets_noise_only():
    found = combine(np.array([3e-4]), np.array([[1e-8]]), Better.HIGHER)
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
        found = combine(truth + common + rng.normal(0, np.sqrt(own + between), seeds), covariance, Better.HIGHER)
        hits.append(found.low <= truth <= found.high)
    assert 0.87 < np.mean(hits) < 0.94


def test_equal_arms_differ_by_nothing_for_sure():
    found = combine(np.zeros(2), np.zeros((2, 2)), Better.HIGHER)
    assert (found.low, found.high, found.p_value, found.p_better) == (0, 0, 1, 0.5)
    assert combine(np.full(2, 1e-4), np.zeros((2, 2)), Better.HIGHER).p_better == 1


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
