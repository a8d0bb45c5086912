"""Every law recovered from simulated trials with known truth: estimates centred on it, intervals that cover it.

The whole proof (200 simulations per law) is slow; the suite runs it for the quickest laws, and one
simulation of the others.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from recscale.curves.bootstrap import bootstrap
from recscale.curves.fitting import fit
from recscale.curves.laws import (
    BROKEN_POWER_LAW,
    CONSTANT,
    LOG_LINEAR,
    POWER_LAW,
    POWER_LAW_WITH_PENALTY,
    RISING_POWER_LAW,
    TWO_VARIABLE_POWER_LAW,
    Law,
)

SIX_SIZES = np.repeat(np.geomspace(1, 32, 6), 3)
EIGHT_SIZES = np.repeat(np.geomspace(1, 128, 8), 3)
EIGHTY_SIZES = np.geomspace(1, 1e5, 80)
SURFACE = np.exp(np.random.default_rng(7).uniform(0, np.log(100), (2, 60)))


@dataclass(frozen=True)
class Case:
    """A law, its truth and the trials that see it."""

    law: Law
    truth: tuple[float, ...]
    x: np.ndarray
    noise: float


CASES = [
    Case(CONSTANT, (0.45,), SIX_SIZES, 1e-3),
    Case(LOG_LINEAR, (0.45, 0.003), SIX_SIZES, 1e-3),
    Case(POWER_LAW, (0.42, 0.03, 0.6), SIX_SIZES, 5e-4),
    Case(RISING_POWER_LAW, (0.45, 0.03, 0.6), SIX_SIZES, 5e-4),
    Case(POWER_LAW_WITH_PENALTY, (0.4, 0.05, 0.002, 0.5), EIGHT_SIZES, 2e-4),
    Case(BROKEN_POWER_LAW, (0.4, 0.5, 0.2, 0.6, 100.0, 0.3), EIGHTY_SIZES, 5e-4),
    Case(TWO_VARIABLE_POWER_LAW, (0.4, 0.05, 0.04, 0.5, 0.4), SURFACE, 5e-4),
]


@dataclass(frozen=True)
class Recovery:
    """What simulations of one case found."""

    bias: np.ndarray
    """Mean error of each parameter over its standard deviation."""
    parameters: np.ndarray
    """Share of intervals that hold each parameter."""
    mean: np.ndarray
    """Share of intervals that hold the mean at the smallest, a middle and the largest size."""
    runs: np.ndarray
    """Share of intervals that hold a new run there."""


def recover(case: Case, simulations: int) -> Recovery:
    rng = np.random.default_rng(11)
    truth, x = np.array(case.truth), np.atleast_2d(case.x)
    mean_S = case.law.mean(truth, x)
    grid = x[:, [0, x.shape[1] // 2, -1]]
    mean_G = case.law.mean(truth, grid)
    estimates, parameters, means, runs = [], [], [], []
    for _ in range(simulations):
        y = mean_S + rng.normal(0, case.noise, mean_S.size)
        fitted = fit(case.law, x, y)
        found = bootstrap(fitted, x, y, grid, replicates=200)
        run = mean_G + rng.normal(0, case.noise, mean_G.size)
        estimates.append(fitted.parameters)
        parameters.append((found.low <= truth) & (truth <= found.high))
        means.append((found.grid_low <= mean_G) & (mean_G <= found.grid_high))
        runs.append((found.run_low <= run) & (run <= found.run_high))
    error = np.array(estimates) - truth
    shares = (np.mean(hits, axis=0) for hits in (parameters, means, runs))
    return Recovery(error.mean(axis=0) / error.std(axis=0), *shares)


def by_name(case: Case) -> str:
    return case.law.name


def check_coverage(case: Case) -> None:
    found = recover(case, 200)
    assert (np.abs(found.bias) < 0.35).all(), found
    for share in (*found.parameters, *found.mean, found.runs.mean()):
        assert 0.85 <= share <= 0.95, found


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES[2:], ids=by_name)
def test_ninety_percent_intervals_cover_the_truth_in_two_hundred_simulations(case):
    check_coverage(case)


@pytest.mark.parametrize("case", CASES[:2], ids=by_name)
def test_intervals_of_the_quickest_laws_cover_the_truth_as_often(case):
    check_coverage(case)


@pytest.mark.parametrize("case", CASES[2:], ids=by_name)
def test_laws_are_recovered_from_one_simulation(case):
    truth, x = np.array(case.truth), np.atleast_2d(case.x)
    mean_S = case.law.mean(truth, x)
    exact = fit(case.law, x, mean_S)
    np.testing.assert_allclose(exact.parameters, truth, rtol=1e-5)
    assert exact.converged
    noisy = mean_S + np.random.default_rng(0).normal(0, case.noise / 5, mean_S.size)
    fitted = fit(case.law, x, noisy)
    np.testing.assert_allclose(fitted.parameters, truth, rtol=0.1)
    assert fitted.rss <= ((noisy - mean_S) ** 2).sum()
