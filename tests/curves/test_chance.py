"""Quantiles and probabilities against scipy.stats."""

import pytest
from scipy import stats

from recscale.curves.chance import f_share_above, normal_quantile, normal_share, t_quantile, t_share


@pytest.mark.parametrize("share", [0.001, 0.3, 0.5, 0.975])
@pytest.mark.parametrize("freedom", [1, 2.5, 30])
def test_quantiles_and_shares_are_those_of_scipy_stats(share: float, freedom: float) -> None:
    assert normal_quantile(share) == pytest.approx(stats.norm.ppf(share), rel=1e-12, abs=1e-15)
    assert t_quantile(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), rel=1e-9, abs=1e-12)
    assert t_share(3 * share - 1, freedom) == pytest.approx(stats.t.cdf(3 * share - 1, freedom), rel=1e-12)
    assert normal_share(3 * share - 1) == pytest.approx(stats.norm.cdf(3 * share - 1), rel=1e-12)
    assert f_share_above(share, freedom, 3) == pytest.approx(stats.f.sf(share, freedom, 3), rel=1e-12)
