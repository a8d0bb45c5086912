import math
from collections import Counter

import numpy as np
import pytest

from recscale.curves.laws import CONSTANT, LOG_LINEAR, POWER_LAW, candidate_laws
from recscale.curves.selection import aicc, select

FOUR = ["constant", "log_linear", "power_law", "rising_power_law"]
SCALES = np.repeat([1.0, 2.0, 3.0, 4.0, 10.0], 3)


def choice(y, x=SCALES):
    chosen = select(candidate_laws(), x, y).chosen
    return chosen.fit.law.name if chosen else None


def test_aicc_is_the_gaussian_criterion_with_the_variance_counted():
    residuals = np.random.default_rng(0).normal(0, 0.1, 12)
    rss, n, k = float((residuals**2).sum()), 12, 4
    log_likelihood = -n / 2 * (math.log(2 * math.pi * rss / n) + 1)
    expected = 2 * k - 2 * log_likelihood + 2 * k * (k + 1) / (n - k - 1)
    constant_of_every_law = n * (math.log(2 * math.pi) + 1)
    assert aicc(rss, n, 3, 1.0) == pytest.approx(expected - constant_of_every_law)


def test_candidates_carry_their_own_criterion():
    y = 0.4 + 0.05 * SCALES**-0.5 + np.random.default_rng(1).normal(0, 1e-3, SCALES.size)
    for scored in select(candidate_laws(), SCALES, y).candidates:
        expected = aicc(scored.fit.rss, y.size, len(scored.fit.parameters), y.max())
        assert scored.aicc == expected


def test_flat_noise_is_called_constant_most_of_the_time():
    rng = np.random.default_rng(2)
    found = Counter(choice(rng.normal(0.8, 1e-4, SCALES.size)) for _ in range(60))
    assert found["constant"] >= 51


def test_clear_shapes_are_told_apart():
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 1e-4, (20, SCALES.size))
    assert Counter(choice(0.44 + 0.02 * SCALES**-1.0 + row) for row in noise)["power_law"] >= 17
    assert Counter(choice(0.81 - 0.02 * SCALES**-1.0 + row) for row in noise)["rising_power_law"] >= 17
    turning = 0.44 + 0.02 * SCALES**-1.0 + 0.002 * SCALES
    assert {choice(turning + row) for row in noise} == {"power_law_with_penalty"}
    assert Counter(choice(0.8 - 0.002 * np.log(SCALES) + row) for row in noise)["log_linear"] >= 17


def test_exact_data_choose_the_simplest_true_law():
    assert choice(np.full(SCALES.size, 0.5)) == "constant"
    assert choice(np.zeros(SCALES.size)) == "constant"
    assert choice(0.5 - 0.01 * np.log(SCALES)) == "log_linear"
    assert choice(0.5 + 0.1 * SCALES**-0.7) == "power_law"


def test_a_tie_goes_to_the_simpler_law():
    y = np.random.default_rng(4).normal(0.8, 1e-4, SCALES.size)
    selection = select((LOG_LINEAR, CONSTANT), SCALES, y)
    by_name = {scored.fit.law.name: scored.aicc for scored in selection.candidates}
    assert abs(by_name["constant"] - by_name["log_linear"]) < 4
    assert selection.chosen.fit.law is CONSTANT


@pytest.mark.parametrize(
    ("scales", "seeds", "candidates", "note"),
    [
        ([1, 2, 4, 10], 3, FOUR, "power_law_with_penalty not fitted: 4 distinct scales, needs 5: add scales"),
        ([1, 2, 3, 4, 10], 3, [*FOUR, "power_law_with_penalty"], "broken_power_law not fitted: 5 distinct scales"),
        ([1, 2, 10], 3, ["constant", "log_linear"], "power_law not fitted: 3 distinct scales, needs 4: add scales"),
        ([1, 10], 3, ["constant"], "log_linear not fitted: 2 distinct scales, needs 3: add scales"),
        ([1, 2, 4, 10], 1, ["constant"], "log_linear not fitted: 4 trials, needs 5: add seeds or scales"),
        ([1, 10], 1, [], "constant not fitted: 2 trials, needs 4: add seeds or scales"),
        ([1], 5, [], "constant not fitted: 1 distinct scales, needs 2: add scales"),
    ],
)
def test_a_law_without_enough_observations_is_no_candidate(scales, seeds, candidates, note):
    x = np.repeat(np.array(scales, dtype=float), seeds)
    selection = select(candidate_laws(), x, np.random.default_rng(5).normal(0.8, 0.01, x.size))
    assert [scored.fit.law.name for scored in selection.candidates] == candidates
    assert note in selection.note
    assert (selection.chosen is None) == (not candidates)


def test_power_law_is_chosen_on_four_scales_of_two_seeds():
    x = np.repeat([1.0, 2.0, 4.0, 10.0], 2)
    y = POWER_LAW.mean(np.array([0.44, 0.05, 1.0]), x) + np.random.default_rng(6).normal(0, 1e-5, x.size)
    assert choice(y, x) == "power_law"


def test_the_backtest_is_the_miss_at_the_scale_left_out():
    y = 0.44 + 0.02 * SCALES**-1.0
    y[SCALES == 10] += 0.01
    by_name = {scored.fit.law.name: scored for scored in select(candidate_laws(), SCALES, y).candidates}
    assert by_name["power_law"].backtest == pytest.approx(0.01, rel=1e-6)
    line = np.polyfit(np.log(SCALES[SCALES < 10]), y[SCALES < 10], 1)
    assert by_name["log_linear"].backtest == pytest.approx(abs(np.polyval(line, np.log(10)) - y[-1]))
    assert by_name["constant"].backtest == pytest.approx(abs(y[SCALES < 10].mean() - y[-1]))


def test_the_choice_says_whether_the_backtest_agrees():
    noise = np.random.default_rng(7).normal(0, 1e-5, SCALES.size)
    agreed = select((CONSTANT, LOG_LINEAR), SCALES, 0.44 - 0.01 * np.log(SCALES) + noise)
    assert agreed.reason.startswith("selected by AICc; the back-test agrees")
    turned = np.where(SCALES == 10, 0.42, 0.44 + 0.001 * np.log(SCALES)) + noise
    disagreed = select((CONSTANT, LOG_LINEAR), SCALES, turned)
    tested = {scored.fit.law.name: scored.backtest for scored in disagreed.candidates}
    best = min(tested, key=tested.get)
    assert disagreed.chosen.fit.law.name != best
    assert f"the back-test prefers {best}" in disagreed.reason
    assert "AICc is kept" in disagreed.reason
