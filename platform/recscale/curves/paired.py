"""Compares two arms on the same test rows, seed by seed, and corrects for the number of comparisons.

Legend: T seeds that both arms have, B test rows, R replicates, H hypotheses.

Two noises: seeds (other weights) and the finite test set (other rows), which all seeds share. Per seed the difference
of the arms has a covariance [T, T] by the test set: DeLong's for AUC, a paired bootstrap of rows for log loss. The mean
over seeds has the variance  s^2 / T + c : s is the standard deviation of the differences over seeds, which holds seed
noise and the part of the rows' noise in which seeds differ, and c is the covariance between seeds, the part that no
number of seeds removes. Two or three seeds of one cell may agree by chance, so s is pooled over alike cells, with the
degrees of freedom of all of them. A cell of one seed shows no c: it takes s^2 + its own variance by the test set, which
counts a part twice and so errs to the careful side; where no cell has two seeds there is no s, and the noise of the
test set is all that is known.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recscale.curves.chance import normal_quantile, normal_share, t_quantile, t_share
from recscale.curves.laws import Array
from recscale.curves.verdict import Better
from recscale.errors import DataError

MOST_BLOCKS = 20_000
"""Test rows are bootstrapped in at most so many blocks; preparation shuffled the rows, so that blocks are alike."""
CHUNK = 50
"""Replicates drawn at a time."""


@dataclass(frozen=True)
class Difference:
    """The second arm's metric minus the first's in one cell, with its noises apart."""

    value: float
    """Mean over seeds."""
    seeds: int
    """Seeds that both arms have."""
    seed_std: float | None
    """Standard deviation of the differences over seeds; None with one seed."""
    eval_std: float
    """Standard error that the finite test set alone gives the mean difference."""
    own_std: float
    """Standard error that the finite test set alone gives one seed's difference."""


@dataclass(frozen=True)
class SeedNoise:
    """What differences scatter by over seeds."""

    std: float
    """Standard deviation of one seed's difference."""
    freedom: int
    """Degrees of freedom of its estimate."""


@dataclass(frozen=True)
class Comparison:
    """Whether the arms differ in one cell."""

    low: float
    """Lower end of the interval of the mean difference."""
    high: float
    """Upper end."""
    level: float
    """Nominal coverage of the interval."""
    standard_error: float
    """Of the mean difference, by seeds and test set together."""
    freedom: float | None
    """Degrees of freedom (Satterthwaite); None where the noise is known as well as normal."""
    p_value: float
    """Two-sided, of no difference."""
    p_better: float
    """Confidence that the second arm is better: one-sided."""


def difference(difference_T: Array, covariance_TT: Array) -> Difference:
    """The mean of the seeds' differences and its noises."""
    count = len(difference_T)
    return Difference(
        value=float(difference_T.mean()),
        seeds=count,
        seed_std=float(difference_T.std(ddof=1)) if count > 1 else None,
        eval_std=math.sqrt(max(float(covariance_TT.mean()), 0.0)),
        own_std=math.sqrt(float(np.trace(covariance_TT)) / count),
    )


def pooled_noise(cells: Sequence[Difference]) -> SeedNoise | None:
    """Seed noise of cells that are taken to share it, weighted by degrees of freedom; None without two seeds of any."""
    known = [(cell.seeds - 1, cell.seed_std) for cell in cells if cell.seed_std is not None]
    freedom = sum(own for own, _ in known)
    return SeedNoise(math.sqrt(sum(own * std**2 for own, std in known) / freedom), freedom) if freedom else None


def compare(cell: Difference, noise: SeedNoise | None, better: Better, *, level: float = 0.9) -> Comparison:
    """The mean difference with both noises; formula at the module."""
    variance, freedom = cell.own_std**2, None
    if noise:
        shared = variance if cell.seeds == 1 else _between_seeds(cell)
        from_seeds = noise.std**2 / cell.seeds
        variance = from_seeds + shared
        freedom = noise.freedom * (variance / from_seeds) ** 2 if from_seeds > 0 else None
    error = math.sqrt(variance)
    sign = 1.0 if better is Better.HIGHER else -1.0
    half, p_value, p_better = _tests(cell.value, error, freedom, sign, level)
    return Comparison(cell.value - half, cell.value + half, level, error, freedom, p_value, p_better)


def _between_seeds(cell: Difference) -> float:
    """Covariance between seeds by the test set, from the mean of the whole matrix and that of its diagonal."""
    return max((cell.seeds * cell.eval_std**2 - cell.own_std**2) / (cell.seeds - 1), 0.0)


def row_bootstrap(difference_TB: Array, *, replicates: int = 1000, seed: int = 0) -> Array:
    """Covariance [T, T] of the mean over rows by a paired bootstrap: every replicate draws the same rows of all seeds.

    DataError: fewer than two rows.
    """
    rows = difference_TB.shape[1]
    if rows < 2:
        raise DataError(f"got {rows} test rows, expected at least 2")
    blocks_T = _blocks(difference_TB)
    rng = np.random.default_rng(seed)
    means = []
    for first in range(0, replicates, CHUNK):
        drawn = rng.integers(0, blocks_T.shape[1], size=(min(CHUNK, replicates - first), blocks_T.shape[1]))
        means.append(np.stack([blocks[drawn].mean(axis=1) for blocks in blocks_T]))
    return np.atleast_2d(np.cov(np.concatenate(means, axis=1)))


def holm(p_H: Sequence[float]) -> tuple[float, ...]:
    """Holm's step-down adjusted p values (Holm 1979): the family-wise error stays below the level they are read at."""
    values = np.asarray(p_H, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return tuple(adjusted.tolist())


def _blocks(difference_TB: Array) -> Array:
    """Means of consecutive rows, at most MOST_BLOCKS of them and of one size; the last rows may be left out."""
    rows = difference_TB.shape[1]
    size = math.ceil(rows / MOST_BLOCKS)
    whole = rows // size
    return np.asarray(difference_TB[:, : whole * size].reshape(len(difference_TB), whole, size).mean(axis=2))


def _tests(value: float, error: float, freedom: float | None, sign: float, level: float) -> tuple[float, float, float]:
    """Half width of the interval, two-sided p value, confidence of better."""
    if error == 0:
        return 0.0, float(value == 0), 0.5 + 0.5 * float(np.sign(sign * value))
    width = normal_quantile((1 + level) / 2) if freedom is None else t_quantile((1 + level) / 2, freedom)
    beyond, better = (
        normal_share(ratio) if freedom is None else t_share(ratio, freedom)
        for ratio in (-abs(value) / error, sign * value / error)
    )
    return width * error, 2 * beyond, better
