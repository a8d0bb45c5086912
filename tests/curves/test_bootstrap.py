import numpy as np
import pytest

from recscale.curves.bootstrap import bootstrap
from recscale.curves.fitting import fit
from recscale.curves.laws import CONSTANT, LOG_LINEAR, POWER_LAW
from recscale.errors import ConfigError

GRID = np.array([1.0, 3.0, 10.0])


def sampled(law, truth, seeds, rng, noise=1e-3):
    x = np.repeat([1.0, 2.0, 4.0, 10.0], seeds)
    y = law.mean(np.array(truth), x) + rng.normal(0, noise, x.size)
    return x, y, fit(law, x, y)


@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize(
    ("law", "truth"), [(CONSTANT, [0.8]), (LOG_LINEAR, [0.8, 0.01]), (POWER_LAW, [0.44, 0.03, 0.6])]
)
def test_intervals_of_the_mean_cover_the_truth_as_often_as_they_say(law, truth, seeds):
    rng = np.random.default_rng(seeds)
    hits = []
    for _ in range(100):
        x, y, fitted = sampled(law, truth, seeds, rng)
        found = bootstrap(fitted, x, y, GRID, replicates=120)
        mean = law.mean(np.array(truth), GRID)
        hits.append((found.grid_low <= mean) & (mean <= found.grid_high))
    coverage = np.mean(hits, axis=0)
    assert (coverage >= 0.82).all(), coverage
    assert (coverage <= 0.98).all(), coverage


def test_parameters_lie_inside_their_intervals():
    x, y, fitted = sampled(POWER_LAW, [0.44, 0.03, 0.6], 3, np.random.default_rng(1))
    found = bootstrap(fitted, x, y, GRID)
    assert (found.low <= fitted.parameters).all()
    assert (found.high >= fitted.parameters).all()


def test_width_is_that_of_the_mean_of_normal_samples():
    rng = np.random.default_rng(2)
    x, y, fitted = sampled(CONSTANT, [0.8], 200, rng)
    found = bootstrap(fitted, x, y, GRID, replicates=4000)
    assert found.high[0] - found.low[0] == pytest.approx(2 * 1.645 * 1e-3 / np.sqrt(800), rel=0.1)


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others():
    x, y, fitted = sampled(POWER_LAW, [0.44, 0.03, 0.6], 2, np.random.default_rng(3))
    first, again, other = (bootstrap(fitted, x, y, GRID, replicates=200, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.grid_low, again.grid_low)
    np.testing.assert_array_equal(first.high, again.high)
    assert (first.grid_low != other.grid_low).any()


def test_single_seeds_use_deviations_from_the_fit():
    x, y, fitted = sampled(CONSTANT, [0.8], 1, np.random.default_rng(4))
    found = bootstrap(fitted, x, y, GRID)
    assert found.low[0] < fitted.parameters[0] < found.high[0]


def test_scales_of_one_seed_borrow_the_noise_of_the_others():
    x = np.array([1.0, 1.0, 1.0, 2.0, 4.0, 10.0])
    y = np.array([0.801, 0.799, 0.8, 0.81, 0.82, 0.83])
    found = bootstrap(fit(LOG_LINEAR, x, y), x, y, GRID)
    assert (found.grid_high - found.grid_low > 1e-3).all()


def test_without_noise_the_intervals_close():
    x, y, fitted = sampled(POWER_LAW, [0.44, 0.03, 0.6], 3, np.random.default_rng(5), noise=0.0)
    found = bootstrap(fitted, x, y, GRID)
    np.testing.assert_allclose(found.grid_high, found.grid_low, rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"level": 90}, "level 90 is not between 0 and 1"), ({"replicates": 10}, "10 bootstrap replicates are too few")],
)
def test_settings_that_give_no_interval_are_refused(options, message):
    x, y, fitted = sampled(CONSTANT, [0.8], 2, np.random.default_rng(6))
    with pytest.raises(ConfigError, match=message):
        bootstrap(fitted, x, y, GRID, **options)


def test_no_more_trials_than_parameters_are_refused():
    x, y = np.array([1.0, 2.0, 4.0]), np.array([0.5, 0.45, 0.43])
    with pytest.raises(ConfigError, match="3 trials cannot bound the 3 parameters of power_law"):
        bootstrap(fit(POWER_LAW, x, y), x, y, GRID)


@pytest.mark.parametrize(("between", "sizes"), [(0.0, 6), (3e-3, 6), (0.0, 30), (3e-3, 30)])
def test_noise_of_sizes_beside_that_of_seeds_is_covered_and_none_is_counted_twice(between, sizes):
    rng = np.random.default_rng(7)
    x = np.repeat(np.geomspace(1, 32, sizes), 3)
    hits = []
    for _ in range(150):
        y = 0.8 + np.repeat(rng.normal(0, between, sizes), 3) + rng.normal(0, 1e-3, x.size)
        found = bootstrap(fit(CONSTANT, x, y), x, y, GRID, replicates=200)
        hits.append(found.low[0] <= 0.8 <= found.high[0])
    assert 0.83 <= np.mean(hits) <= 0.965


def test_a_new_run_scatters_by_what_seeds_do_and_by_what_sizes_do():
    rng = np.random.default_rng(8)
    x = np.repeat(np.geomspace(1, 32, 6), 50)
    for between in (0.0, 5e-3):
        y = 0.8 + np.repeat(rng.normal(0, between, 6), 50) + rng.normal(0, 1e-3, x.size)
        found = bootstrap(fit(CONSTANT, x, y), x, y, GRID, replicates=4000)
        assert (found.run_high[0] - found.run_low[0] > 5e-3) == (between > 0)
