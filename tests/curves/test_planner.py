import numpy as np
import pytest
from scipy import stats

from recscale.curves.planner import seeds_needed, t_power
from recscale.errors import ConfigError


@pytest.mark.parametrize(("noise", "published"), [(7e-5, 2), (2.2e-4, 19), (4.9e-4, 94)])
def test_seeds_are_about_those_published_for_two_parts_in_ten_thousand(noise, published):
    plan = seeds_needed(2e-4, noise)
    assert abs(plan.seeds_if_noise_known - published) <= 1
    assert published <= plan.seeds <= published + 2


@pytest.mark.parametrize(("ratio", "seeds"), [(0.2, 394), (0.5, 64), (0.8, 26), (1.0, 17)])
def test_seeds_are_those_of_the_power_tables(ratio, seeds):
    """Cohen 1988, table 2.4.1 (two-sided 0.05, power 0.80)."""
    assert seeds_needed(ratio, 1.0).seeds == pytest.approx(seeds, abs=1)


def test_power_is_what_simulation_finds():
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 4000, 4))
    p_values = stats.ttest_ind(first, second + 2.0, axis=1).pvalue
    assert t_power(2.0, 4, 0.05) == pytest.approx((p_values < 0.05).mean(), abs=0.025)


def test_no_noise_needs_the_fewest_seeds_that_a_test_can_have():
    assert seeds_needed(1e-4, 0.0).seeds == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"effect": 0.0, "noise": 1.0}, "an effect of 0; expected"),
        ({"effect": 1.0, "noise": -1.0}, "a noise of -1"),
        ({"effect": 1.0, "noise": 1.0, "power": 1.0}, "power 1 at level 0.05"),
        ({"effect": 1e-6, "noise": 1.0}, r"needs about 1\.57e\+13 seeds per arm"),
    ],
)
def test_what_cannot_be_planned_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        seeds_needed(**arguments)
