import dataclasses

import numpy as np
import pytest

from recscale.curves.curve import Curve, Observation, Target
from recscale.curves.scaling import fit_curve, gather
from recscale.errors import DataError
from recscale.records import canonical_json, from_json, to_plain

SCALES = np.repeat([1.0, 2.0, 4.0, 10.0], 3)
NAMES = {"family": "dcnv2", "variant": "fair", "arm": "SE", "metric": "log_loss"}


@pytest.fixture
def falling(trials):
    """Twelve trials on a power law with small noise."""
    noise = np.random.default_rng(0).normal(0, 1e-4, SCALES.size)
    return trials(SCALES, 0.44 + 0.03 * SCALES**-0.8 + noise)


def test_curve_carries_points_law_and_band(falling):
    curve = fit_curve(falling, **NAMES).curve
    assert curve.law == "power_law"
    assert [point.seeds for point in curve.points] == [3, 3, 3, 3]
    first = [item.value for item in falling[:3]]
    assert curve.points[0].mean == pytest.approx(np.mean(first))
    assert curve.points[0].std == pytest.approx(np.std(first, ddof=1))
    assert curve.points[0].trial_ids == ("trial000", "trial001", "trial002")
    assert (curve.grid_x[0], curve.grid_x[-1]) == pytest.approx((1, 10))
    assert all(
        low <= mean <= high for low, mean, high in zip(curve.grid_low, curve.grid_mean, curve.grid_high, strict=True)
    )
    selected = next(candidate for candidate in curve.candidates if candidate.law == curve.law)
    by_name = {parameter.name: parameter for parameter in selected.parameters}
    assert by_name["exponent"].value == pytest.approx(0.8, abs=0.1)
    assert by_name["floor"].low < 0.44 < by_name["floor"].high
    assert all(item.low is None for other in curve.candidates if other is not selected for item in other.parameters)
    assert curve.formula.startswith("log_loss = 0.4")
    assert curve.note == "; ".join(
        f"{law} not fitted: 4 distinct scales, needs {needed}: add scales"
        for law, needed in (("power_law_with_penalty", 5), ("broken_power_law", 7))
    )
    assert selected.backtest is not None
    assert curve.selection.startswith("selected by AICc; the back-test")


def test_curve_survives_json(falling):
    for count in (2, 4, 9, 12):
        curve = fit_curve(falling[:count], **NAMES).curve
        assert from_json(Curve, canonical_json(to_plain(curve)), "curve") == curve


def test_the_order_of_trials_and_the_run_do_not_matter(falling):
    curve = fit_curve(falling, **NAMES).curve
    assert fit_curve(falling[::-1], **NAMES).curve.points == curve.points
    assert fit_curve(falling, **NAMES).curve == curve


def test_another_axis_gives_the_same_curve_at_other_positions(falling):
    elsewhere = [dataclasses.replace(item, x=item.x * 1e7) for item in falling]
    by_scale = fit_curve(falling, **NAMES).curve
    by_params = fit_curve(elsewhere, **NAMES, x_axis="table_params").curve
    assert by_params.points[-1].scale == 10
    np.testing.assert_allclose(by_params.grid_mean, by_scale.grid_mean, rtol=1e-7)
    np.testing.assert_allclose(by_params.grid_low, by_scale.grid_low, rtol=1e-5)


def test_too_few_trials_give_points_and_say_what_to_add(trials):
    curve = fit_curve(trials([1, 10], [0.5, 0.4]), **NAMES).curve
    assert (curve.law, curve.formula, curve.grid_x) == (None, "", ())
    assert len(curve.points) == 2
    assert curve.points[0].std is None
    assert "constant not fitted: 2 trials, needs 4: add seeds or scales" in curve.note


def test_single_seeds_and_bounds_are_noted(trials):
    scales = np.array([1.0, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0])
    curve = fit_curve(trials(scales, 0.3 * scales**-0.8), **NAMES).curve
    assert "one seed per scale" in curve.note
    assert "floor at a bound: not identified" in curve.note


def test_auc_is_shown_as_one_minus_the_law_of_its_complement(trials):
    noise = np.random.default_rng(1).normal(0, 1e-4, SCALES.size)
    auc = 0.85 - 0.1 * SCALES**-0.5 + noise
    curve = fit_curve(trials(SCALES, auc), **NAMES | {"metric": "auc"}, target=Target.COMPLEMENT).curve
    mirrored = fit_curve(trials(SCALES, 1 - auc), **NAMES).curve
    assert (curve.law, mirrored.law) == ("power_law", "power_law")
    for name, other in (("grid_mean", "grid_mean"), ("grid_low", "grid_high"), ("run_high", "run_low")):
        np.testing.assert_allclose(getattr(curve, name), 1 - np.array(getattr(mirrored, other)), rtol=1e-9)
    assert curve.points[0].mean == pytest.approx(auc[:3].mean())
    assert curve.formula.startswith("auc = 1 - (0.1")


def test_no_law_of_an_auc_leaves_its_range(trials):
    auc = 0.999 - 0.2 * (1 - SCALES**-0.9) + np.random.default_rng(2).normal(0, 1e-3, SCALES.size)
    for values in (auc, 1.2 - auc):
        curve = fit_curve(trials(SCALES, values), **NAMES, target=Target.COMPLEMENT).curve
        limits = [
            item.value for each in curve.candidates for item in each.parameters if item.name in ("floor", "ceiling")
        ]
        assert limits
        assert all(0 <= value <= 1 for value in limits)


def test_new_runs_scatter_more_than_the_mean_and_noises_are_told_apart(falling):
    curve = fit_curve(falling, **NAMES, eval_noise=5e-4).curve
    bands = (curve.run_low, curve.grid_low, curve.grid_mean, curve.grid_high, curve.run_high)
    assert (np.diff(np.array(bands), axis=0) > 0).all()
    within = [np.var([item.value for item in falling[first : first + 3]], ddof=1) for first in range(0, 12, 3)]
    assert curve.seed_noise == pytest.approx(np.sqrt(np.mean(within)))
    assert curve.eval_noise == 5e-4


def test_what_cannot_be_a_curve_is_refused():
    with pytest.raises(DataError, match="no observations"):
        fit_curve([], **NAMES)
    with pytest.raises(DataError, match="trial broken: value nan at x = 1"):
        gather([Observation(1.0, 1.0, float("nan"), "broken")])
    with pytest.raises(DataError, match="at x = 0"):
        gather([Observation(1.0, 0.0, 0.5, "broken")])
