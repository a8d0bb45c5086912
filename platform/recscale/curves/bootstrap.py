"""Intervals of a fitted law from the noise between seeds.

Legend: R replicates, S trials, U distinct positions (scales), G grid positions, K parameters.

Resampling two or three seeds as they are understates their spread: it has the variance of the divisor n instead of
n - 1 and at most a handful of distinct outcomes. So a replicate keeps every scale's mean and its number of seeds, and
draws each seed's deviation from the deviations of all scales pooled, multiplied by sqrt(n / (n - 1)) of the scale they
come from (an unbiased variance) and by the ratio of Student's to the normal quantile at the pooled degrees of freedom
(the variance itself is estimated from few seeds). It assumes that seed noise is alike at all scales. Means stay where
they were observed, so an interval holds seed noise only and no lack of fit, except with one seed at every scale: then
there is no seed noise to see, and deviations from the fit, times sqrt(n / (n - K)), stand in for it around the fit.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from recscale.curves.fitting import LOOSE, Fit, fit_batch
from recscale.curves.laws import Array
from recscale.errors import ConfigError


@dataclass(frozen=True)
class Intervals:
    """Percentile intervals of one fitted law."""

    low: Array
    """Lower ends per parameter [K]."""
    high: Array
    """Upper ends per parameter [K]."""
    grid_low: Array
    """Lower ends of the mean at the grid [G]."""
    grid_high: Array
    """Upper ends of the mean at the grid [G]."""


@dataclass(frozen=True)
class _Noise:
    """What a replicate is drawn from."""

    centre: Array
    """Mean of a replicate at each position [U]."""
    pool: Array
    """Deviations to draw from, already inflated."""


def bootstrap(
    fitted: Fit, x_S: Array, y_S: Array, grid_G: Array, *, level: float = 0.9, replicates: int = 1000, seed: int = 0
) -> Intervals:
    """Refits the law to replicates of the trials; the same seed gives the same intervals.

    ConfigError: a level outside (0, 1), fewer than 100 replicates, or no more trials than parameters.
    """
    _check(fitted, len(y_S), level, replicates)
    x_U, position_S = np.unique(x_S, return_inverse=True)
    counts_U = np.bincount(position_S).astype(np.float64)
    noise = _noise(fitted, x_U, position_S, y_S, level)
    draws_RS = np.random.default_rng(seed).choice(noise.pool, size=(replicates, len(y_S)))
    membership_SU = np.eye(len(x_U))[position_S] / counts_U
    means_RU = noise.centre + draws_RS @ membership_SU
    batch = fit_batch(fitted.law, x_U[None], means_RU, counts_U, LOOSE)
    ends = [50 * (1 - level), 50 * (1 + level)]
    low_K, high_K = np.percentile(batch.parameters, ends, axis=0)
    grid_low_G, grid_high_G = np.percentile(fitted.law.mean(batch.parameters, grid_G), ends, axis=0)
    return Intervals(low_K, high_K, grid_low_G, grid_high_G)


def _noise(fitted: Fit, x_U: Array, position_S: NDArray[np.intp], y_S: Array, level: float) -> _Noise:
    """Centres and inflated deviations: of seeds around their scale's mean, or with single seeds around the fit."""
    counts_U = np.bincount(position_S)
    freedom = len(y_S) - len(counts_U)
    if freedom == 0:
        centre_U = fitted.law.mean(np.array(fitted.parameters), x_U)
        freedom = len(y_S) - len(fitted.parameters)
        pool = (y_S - centre_U[position_S]) * math.sqrt(len(y_S) / freedom)
        return _Noise(centre_U, (pool - pool.mean()) * _student_over_normal(level, freedom))
    centre_U = np.bincount(position_S, weights=y_S) / counts_U
    repeated_S = counts_U[position_S] > 1
    seeds_S = counts_U[position_S[repeated_S]]
    pool = (y_S - centre_U[position_S])[repeated_S] * np.sqrt(seeds_S / (seeds_S - 1))
    return _Noise(centre_U, pool * _student_over_normal(level, freedom))


def _student_over_normal(level: float, freedom: int) -> float:
    """How much wider an interval is for a variance estimated with so many degrees of freedom."""
    return float(stats.t.ppf((1 + level) / 2, freedom) / stats.norm.ppf((1 + level) / 2))


def _check(fitted: Fit, trials: int, level: float, replicates: int) -> None:
    """ConfigError where intervals cannot be computed."""
    if not 0 < level < 1:
        raise ConfigError(f"interval level {level:g} is not between 0 and 1; use for instance 0.9")
    if replicates < 100:
        raise ConfigError(f"{replicates} bootstrap replicates are too few for an interval; use at least 100")
    if trials <= len(fitted.parameters):
        raise ConfigError(
            f"{trials} trials cannot bound the {len(fitted.parameters)} parameters of {fitted.law.name}; "
            f"expected more trials than parameters: add seeds or scales"
        )
