import numpy as np
import pytest
from scipy import stats

from recscale.curves.differences import Trend, difference
from recscale.errors import DataError


def test_interval_is_scipys_welch_interval(trials):
    first, second = [0.5, 0.52, 0.51], [0.54, 0.53, 0.56, 0.55]
    found = difference(trials([1] * 3, first), trials([10] * 4, second), level=0.9)
    expected = stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.value == pytest.approx(np.mean(second) - np.mean(first))
    assert found.trend is Trend.RISES


def test_false_alarms_are_as_rare_as_the_level_says(trials):
    rng = np.random.default_rng(0)
    clear = [
        difference(trials([1] * 3, rng.normal(0.8, 1e-4, 3)), trials([10] * 3, rng.normal(0.8, 1e-4, 3))).trend
        is not Trend.WITHIN_NOISE
        for _ in range(300)
    ]
    assert 0.03 < np.mean(clear) < 0.16


def test_two_configurations_are_not_one_mean(trials):
    with pytest.raises(DataError, match="expected seeds of one"):
        difference(trials([1, 10], [0.8, 0.7]), trials([10], [0.8]))
