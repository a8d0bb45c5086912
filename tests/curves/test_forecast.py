import numpy as np
import pytest

from recscale.curves.curve import Target
from recscale.curves.forecast import Kind, forecast, gain, need, placed
from recscale.curves.scaling import fit_curve
from recscale.curves.verdict import Better
from recscale.errors import ConfigError

SCALES = np.repeat([1.0, 2.0, 4.0, 8.0, 16.0], 3)
NAMES = {"family": "dcnv2", "variant": "fair", "arm": "ME", "metric": "test_auc"}


def auc_curve(trials, noise=1e-5, seed=0):
    rng = np.random.default_rng(seed)
    auc = 0.81 - 0.02 * SCALES**-0.5 + rng.normal(0, noise, SCALES.size)
    return fit_curve(trials(SCALES, auc), **NAMES, target=Target.COMPLEMENT)


def truth(x):
    return 0.81 - 0.02 * x**-0.5


def test_positions_are_flagged_with_their_distance_in_observed_log_ranges(trials):
    fitted = auc_curve(trials)
    assert [placed(fitted, x) for x in (1.0, 3.0, 16.0)] == [(Kind.INTERPOLATION, 0.0)] * 3
    for x, distance in ((32.0, 0.25), (256.0, 1.0), (0.5, 0.25)):
        kind, found = placed(fitted, x)
        assert kind is Kind.FORECAST
        assert found == pytest.approx(distance)


def test_forecasts_bracket_the_truth_and_widen_with_distance(trials):
    fitted = auc_curve(trials)
    found = [forecast(fitted, x) for x in (4.0, 64.0, 256.0)]
    for item in found:
        assert item.run_low < item.low < item.value < item.high < item.run_high
        assert item.value == pytest.approx(truth(item.x), abs=2e-4)
    widths = [item.high - item.low for item in found]
    assert widths == sorted(widths)


def test_the_gain_is_the_difference_of_the_curve_and_narrower_than_its_ends(trials):
    fitted = auc_curve(trials)
    found = gain(fitted, 4.0, 16.0)
    assert found.kind is Kind.INTERPOLATION
    assert found.value == pytest.approx(truth(16.0) - truth(4.0), abs=5e-5)
    assert found.value == pytest.approx(forecast(fitted, 16.0).value - forecast(fitted, 4.0).value)
    assert found.low < found.value < found.high
    assert gain(fitted, 16.0, 64.0).kind is Kind.FORECAST
    assert gain(fitted, 16.0, 4.0).value == pytest.approx(-found.value)


def test_what_is_needed_for_a_goal_is_the_inverse_of_the_curve(trials):
    fitted = auc_curve(trials, seed=1)
    for goal_at in (3.0, 40.0):
        found = need(fitted, truth(goal_at), Better.HIGHER)
        assert found.x == pytest.approx(goal_at, rel=0.02)
        assert forecast(fitted, found.x).value == pytest.approx(found.goal, abs=1e-7)
        assert found.low < goal_at < found.high
        assert found.reached == 1.0
    assert need(fitted, truth(3.0), Better.HIGHER).kind is Kind.INTERPOLATION
    assert need(fitted, truth(40.0), Better.HIGHER).kind is Kind.FORECAST
    assert need(fitted, 0.7, Better.HIGHER).x == 1.0


def test_a_goal_past_the_curve_is_not_promised(trials):
    found = need(auc_curve(trials), 0.82, Better.HIGHER)
    assert (found.x, found.high, found.reached) == (None, None, 0.0)
    assert found.limit == pytest.approx(256.0)
    assert found.distance == pytest.approx(1.0)


def test_a_loss_reaches_its_goal_from_above(trials):
    loss = 0.44 + 0.02 * SCALES**-0.5 + np.random.default_rng(1).normal(0, 1e-5, SCALES.size)
    fitted = fit_curve(trials(SCALES, loss), **NAMES)
    assert need(fitted, 0.45, Better.LOWER).x == pytest.approx(4.0, rel=0.02)


def test_what_cannot_be_forecast_is_refused(trials):
    bare = fit_curve(trials([1, 10], [0.5, 0.4]), **NAMES)
    with pytest.raises(ConfigError, match="dcnv2 ME test_auc has no fitted law: constant not fitted"):
        forecast(bare, 2.0)
    with pytest.raises(ConfigError, match="at x = 0; expected a finite size above 0"):
        gain(auc_curve(trials), 1.0, 0.0)
    with pytest.raises(ConfigError, match="-1 log ranges beyond"):
        need(auc_curve(trials), 0.8, Better.HIGHER, beyond=-1)
