"""Intervals of a fitted law by a hierarchical bootstrap: sizes, and seeds within a size.

Legend: R replicates, S trials, U distinct sizes (positions), G grid positions, V variables, K parameters.

With many sizes (MANY_SIZES, and SIZES_PER_PARAMETER) they are resampled themselves, each with all its seeds: a size's
trials hold the noise of seeds already, and drawing them once more would count it twice (Davison and Hinkley 1997,
section 3.8). Residuals are smaller than the noise by sqrt((U - K) / U), so that they are first stretched by its inverse
and by Student's ratio (below); the fit stays where it is.

With few sizes neither can be resampled as it is: two or three seeds have the variance of the divisor n instead of
n - 1, and four sizes drawn from four leave too few for a law. Then a replicate is the fitted law, plus a deviation per
size, plus one per trial. Deviations of trials are drawn from those of all seeds around their size's mean, pooled, times
sqrt(n / (n - 1)) of the size they come from (an unbiased variance) and times the ratio of Student's to the normal
quantile (the variance itself is estimated). Deviations of sizes are those of the sizes' means around the law, as far as
seed noise does not explain them (an F test of lack of fit); with one seed everywhere they are all there is to see. It
assumes that noise is alike at all sizes.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recscale.curves.chance import f_share_above, normal_quantile, t_quantile
from recscale.curves.fitting import Fit, fit_batch
from recscale.curves.laws import Array, Law
from recscale.curves.losses import LossKind, Space
from recscale.errors import ConfigError

MANY_SIZES = 20
"""Distinct sizes from which sizes are resampled."""
SIZES_PER_PARAMETER = 5
"""Distinct sizes per parameter that this needs as well."""
LACK_OF_FIT_LEVEL = 0.05
"""Sizes deviate from the law where the F test's p value is below this."""


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
    run_low: Array
    """Lower ends of a new run's value at the grid [G], on the same test rows."""
    run_high: Array
    """Upper ends of a new run's value at the grid [G], on the same test rows."""


@dataclass(frozen=True)
class Replicates:
    """A law fitted to R replicates of its observations."""

    law: Law
    """The law."""
    parameters: Array
    """Its parameters [R, K]."""
    deviations: Array
    """How far a new run lies from the mean in each replicate [R], in the space of the loss."""
    space: Space
    """Of what the deviations are."""
    sizes_deviate: bool
    """Whether the sizes' means scatter around the law by more than seeds explain."""

    def means(self, x_VG: Array) -> Array:
        """The mean at x in every replicate [R, G]."""
        return self.law.mean(self.parameters, x_VG)

    def runs(self, x_VG: Array) -> Array:
        """A new run's value at x in every replicate [R, G]."""
        means_RG, shift_R1 = self.means(x_VG), self.deviations[:, None]
        return means_RG + shift_R1 if self.space is Space.LINEAR else np.asarray(means_RG * np.exp(shift_R1))


@dataclass(frozen=True)
class _Noise:
    """What a replicate is drawn from, in the space of the loss."""

    sizes: Array
    """Deviations of sizes; [0] where there are none."""
    seeds: Array
    """Deviations of seeds; [0] where none are seen."""


def bootstrap(
    fitted: Fit, x: Array, y_S: Array, grid: Array, *, level: float = 0.9, replicates: int = 1000, seed: int = 0
) -> Intervals:
    """Intervals of a fit from replicates of its trials; the same seed gives the same intervals.

    ConfigError: a level outside (0, 1), fewer than 100 replicates, or no more trials than parameters.
    """
    return intervals(resample(fitted, x, y_S, level=level, replicates=replicates, seed=seed), grid, level)


def intervals(found: Replicates, grid: Array, level: float) -> Intervals:
    """Percentiles of replicates, at the grid's positions."""
    ends = [50 * (1 - level), 50 * (1 + level)]
    grid_VG = np.atleast_2d(grid)
    pairs = [np.percentile(rows, ends, axis=0) for rows in (found.parameters, found.means(grid_VG))]
    return Intervals(*pairs[0], *pairs[1], *np.percentile(found.runs(grid_VG), ends, axis=0))


def resample(
    fitted: Fit, x: Array, y_S: Array, *, level: float = 0.9, replicates: int = 1000, seed: int = 0
) -> Replicates:
    """Refits the law to replicates of the trials."""
    _check(fitted, len(y_S), level, replicates)
    x_VS = np.atleast_2d(x)
    x_VU, position_S = np.unique(x_VS, axis=1, return_inverse=True)
    rng = np.random.default_rng(seed)
    if x_VU.shape[1] >= max(MANY_SIZES, SIZES_PER_PARAMETER * len(fitted.parameters)):
        stretch = _stretch(x_VU.shape[1], len(fitted.parameters), level)
        return _resampled_sizes(fitted, x_VS, y_S, position_S, stretch, replicates, rng)
    noise = _noise(fitted, x_VU, position_S, y_S, level)
    centre_U = _forward(fitted, fitted.law.mean(np.array(fitted.parameters), x_VU))
    of_sizes_RU = rng.choice(noise.sizes, size=(replicates, x_VU.shape[1]))
    of_seeds_RS = rng.choice(noise.seeds, size=(replicates, len(y_S)))
    drawn_RS = _back(fitted, (centre_U + of_sizes_RU)[:, position_S] + of_seeds_RS)
    batch = _refit(fitted, x_VU, x_VS, position_S, drawn_RS)
    deviations_R = rng.choice(noise.sizes, size=replicates) + rng.choice(noise.seeds, size=replicates)
    deviate = bool(np.any(noise.sizes != 0) and np.any(noise.seeds != 0))
    return Replicates(fitted.law, batch, deviations_R, fitted.loss.space, deviate)


def _refit(fitted: Fit, x_VU: Array, x_VS: Array, position_S: NDArray[np.intp], drawn_RS: Array) -> Array:
    """Parameters of the replicates; for a Gaussian loss a size's trials fit like their mean with their number."""
    if fitted.loss.kind is not LossKind.GAUSSIAN or fitted.loss.space is not Space.LINEAR:
        return fit_batch(fitted.law, x_VS, drawn_RS, None, fitted.loss, optima=fitted.optima).parameters
    counts_U = np.bincount(position_S).astype(np.float64)
    means_RU = drawn_RS @ (np.eye(len(counts_U))[position_S] / counts_U)
    return fit_batch(fitted.law, x_VU, means_RU, counts_U, fitted.loss, optima=fitted.optima).parameters


def _resampled_sizes(
    fitted: Fit,
    x_VS: Array,
    y_S: Array,
    position_S: NDArray[np.intp],
    stretch: float,
    replicates: int,
    rng: np.random.Generator,
) -> Replicates:
    """Sizes drawn with replacement, as numbers of times that each of their trials counts."""
    sizes = int(position_S.max()) + 1
    weights_RS = rng.multinomial(sizes, np.full(sizes, 1 / sizes), size=replicates)[:, position_S].astype(np.float64)
    centre_S = _forward(fitted, fitted.law.mean(np.array(fitted.parameters), x_VS))
    residual_S = stretch * (_forward(fitted, y_S) - centre_S)
    loss = replace(fitted.loss, delta=stretch * fitted.loss.delta)
    y_RS = np.broadcast_to(_back(fitted, centre_S + residual_S), weights_RS.shape)
    batch = fit_batch(fitted.law, x_VS, y_RS, weights_RS, loss, optima=fitted.optima)
    return Replicates(fitted.law, batch.parameters, rng.choice(residual_S, size=replicates), loss.space, False)


def _noise(fitted: Fit, x_VU: Array, position_S: NDArray[np.intp], y_S: Array, level: float) -> _Noise:
    """Inflated deviations of seeds around their size's mean, and of sizes' means around the law."""
    counts_U = np.bincount(position_S)
    value_S = _forward(fitted, y_S)
    mean_U = np.bincount(position_S, weights=value_S) / counts_U
    off_U = mean_U - _forward(fitted, fitted.law.mean(np.array(fitted.parameters), x_VU))
    parameters = len(fitted.parameters)
    spare, freedom = len(counts_U) - parameters, len(y_S) - len(counts_U)
    if freedom == 0:
        return _Noise((off_U - off_U.mean()) * _stretch(len(off_U), parameters, level), np.zeros(1))
    repeated_S = counts_U[position_S] > 1
    seeds_S = counts_U[position_S[repeated_S]]
    pool_S = (value_S - mean_U[position_S])[repeated_S] * np.sqrt(seeds_S / (seeds_S - 1))
    seeds = pool_S * _student_over_normal(level, freedom)
    within = float(((value_S - mean_U[position_S]) ** 2).sum()) / freedom
    lack = float((counts_U * off_U**2).sum()) / spare if spare > 0 else 0.0
    rounding = (1e-12 * float(np.abs(value_S).max())) ** 2
    if lack <= rounding or f_share_above(lack / max(within, rounding), spare, freedom) >= LACK_OF_FIT_LEVEL:
        return _Noise(np.zeros(1), seeds)
    beyond = math.sqrt((lack - within) / counts_U.mean())
    sizes_U = (off_U - off_U.mean()) / max(float(off_U.std()), 1e-300)
    return _Noise(sizes_U * beyond * _student_over_normal(level, spare), seeds)


def _forward(fitted: Fit, y: Array) -> Array:
    """Into the space of the loss."""
    return np.log(y) if fitted.loss.space is Space.LOG else y


def _back(fitted: Fit, value: Array) -> Array:
    """Out of the space of the loss."""
    return np.exp(value) if fitted.loss.space is Space.LOG else value


def _stretch(sizes: int, parameters: int, level: float) -> float:
    """How much residuals of a fit are stretched to noise."""
    spare = sizes - parameters
    return math.sqrt(sizes / spare) * _student_over_normal(level, spare)


def _student_over_normal(level: float, freedom: int) -> float:
    """How much wider an interval is for a variance estimated with so many degrees of freedom."""
    return t_quantile((1 + level) / 2, freedom) / normal_quantile((1 + level) / 2)


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
