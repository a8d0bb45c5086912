import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from recscale.curves.fitting import fit, fit_batch
from recscale.curves.laws import CONSTANT, LOG_LINEAR, POWER_LAW, RISING_POWER_LAW, candidate_laws
from recscale.errors import DataError

SCALES = np.array([1.0, 2.0, 4.0, 10.0])
THREE_SEEDS = np.repeat(SCALES, 3)


@given(st.floats(0.05, 3), st.floats(0, 2), st.floats(1e-3, 5))
@settings(max_examples=40, deadline=None)
def test_power_law_is_recovered_from_exact_data(exponent, floor, amplitude):
    fitted = fit(POWER_LAW, SCALES, floor + amplitude * SCALES**-exponent)
    np.testing.assert_allclose(fitted.parameters, [floor, amplitude, exponent], rtol=1e-5, atol=1e-7)
    assert fitted.converged


@pytest.mark.parametrize(
    ("law", "truth"),
    [(CONSTANT, [0.7]), (LOG_LINEAR, [0.8, 0.02]), (LOG_LINEAR, [0.8, -0.02]), (RISING_POWER_LAW, [0.81, 0.02, 0.6])],
)
def test_other_laws_are_recovered_from_exact_data(law, truth):
    fitted = fit(law, SCALES, law.mean(np.array(truth), SCALES))
    np.testing.assert_allclose(fitted.parameters, truth, rtol=1e-9)
    assert not any(fitted.at_bound)


def test_noisy_estimates_are_centred_on_the_truth():
    truth = np.array([0.44, 0.02, 0.8])
    noise = np.random.default_rng(0).normal(0, 2e-4, (400, THREE_SEEDS.size))
    batch = fit_batch(POWER_LAW, THREE_SEEDS[None], POWER_LAW.mean(truth, THREE_SEEDS) + noise)
    error = batch.parameters - truth
    assert (np.abs(error.mean(axis=0)) < 4 * error.std(axis=0) / np.sqrt(len(error)) + 0.02 * truth).all()


def test_no_general_optimiser_finds_a_smaller_loss():
    rng = np.random.default_rng(1)
    for _ in range(10):
        y = 0.4 + 0.05 * THREE_SEEDS**-0.5 + rng.normal(0, 3e-3, THREE_SEEDS.size)
        ours = fit(POWER_LAW, THREE_SEEDS, y)
        reference = min(
            2
            * least_squares(
                lambda p, y=y: y - POWER_LAW.mean(p, THREE_SEEDS),
                [y.min() / 2, 0.05, start],
                bounds=([0, 0, 1e-2], [np.inf, np.inf, 10]),
                x_scale=[0.1, 0.1, 1],
                xtol=1e-14,
                ftol=1e-14,
            ).cost
            for start in (0.05, 0.5, 5)
        )
        assert ours.rss <= reference * (1 + 1e-9)
        assert ours.rss == pytest.approx(((y - POWER_LAW.mean(np.array(ours.parameters), THREE_SEEDS)) ** 2).sum())


def test_linear_laws_match_numpy_polyfit_with_weights():
    rng = np.random.default_rng(2)
    y, weights = 3 + rng.standard_normal(THREE_SEEDS.size), rng.uniform(0.5, 2, THREE_SEEDS.size)
    slope, intercept = np.polyfit(np.log(THREE_SEEDS), y, 1, w=np.sqrt(weights))
    assert fit(LOG_LINEAR, THREE_SEEDS, y, weights).parameters == pytest.approx((intercept, -slope))
    assert fit(CONSTANT, THREE_SEEDS, y, weights).parameters == pytest.approx((np.average(y, weights=weights),))


def test_bounds_are_kept_and_named():
    negative_floor = fit(POWER_LAW, SCALES, -0.1 + SCALES**-0.5)
    assert negative_floor.parameters[0] == 0
    assert negative_floor.at_bound == (True, False, False)
    rising_data = fit(POWER_LAW, SCALES, np.log(SCALES) + 1)
    assert rising_data.parameters[1] == 0
    assert rising_data.at_bound[1]
    bounded = next(law for law in candidate_laws(upper=1.0) if law.name == "rising_power_law")
    above = fit(bounded, SCALES, 1.02 - 0.3 * SCALES**-0.5)
    assert above.parameters[0] == 1
    assert above.at_bound[0]


@given(st.floats(1e-6, 1e9), st.floats(1e-3, 1e3))
@settings(max_examples=30, deadline=None)
def test_units_of_x_and_y_change_amplitude_and_floor_only(unit_x, unit_y):
    rng = np.random.default_rng(3)
    y = 0.4 + 0.05 * THREE_SEEDS**-0.5 + rng.normal(0, 1e-3, THREE_SEEDS.size)
    floor, amplitude, exponent = fit(POWER_LAW, THREE_SEEDS, y).parameters
    scaled = fit(POWER_LAW, THREE_SEEDS * unit_x, y * unit_y).parameters
    expected = (floor * unit_y, amplitude * unit_y * unit_x**exponent, exponent)
    assert scaled == pytest.approx(expected, rel=1e-4)


def test_repeated_observations_weigh_like_weights():
    y = np.array([0.5, 0.46, 0.45, 0.44])
    counts = np.array([3, 1, 2, 4])
    repeated = fit(POWER_LAW, np.repeat(SCALES, counts), np.repeat(y, counts))
    assert fit(POWER_LAW, SCALES, y, counts.astype(float)).parameters == pytest.approx(repeated.parameters, rel=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1.0, 2.0], [1.0], "do not fit; expected one value of each of n"),
        ([], [], "at least one observation"),
        ([0.0, 2.0], [1.0, 2.0], "x must be finite and above 0"),
        ([1.0, 2.0], [1.0, float("nan")], "y finite"),
    ],
)
def test_observations_that_cannot_be_fitted_are_refused(x, y, message):
    with pytest.raises(DataError, match=message):
        fit(POWER_LAW, x, y)
