"""How two numbers of the trials go together: Pearson's and Spearman's correlation, with intervals over cells.

Legend: R replicates, S trials, C cells. A cell is one scale and number of sets; its trials differ in their seed only,
so they are no independent witnesses of what happens between cells. A replicate therefore draws whole cells, with
replacement. Percentiles over few cells are too narrow, so they are taken further out, at the normal tail probability of
sqrt(C / (C - 1)) times Student's quantile with C - 2 degrees of freedom (expanded percentiles: Hesterberg 2015). On
simulated cells such intervals cover the truth at least as often as they say from 5 cells on, and with 4 cells of
several seeds; with fewer cells there is none: three are in one order by chance once in three.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recscale.curves.chance import normal_share, t_quantile
from recscale.curves.laws import Array
from recscale.errors import ConfigError, DataError

LEAST_CELLS = 3
"""Cells below which two numbers always lie on a line."""
LEAST_CELLS_OF_SEEDS = 4
"""Cells that give an interval where they have two seeds on average; with fewer seeds it takes one cell more."""
LEAST_SPREAD = 1e-12
"""A replicate that keeps less than this share of the variance has one value, and no correlation."""


@dataclass(frozen=True)
class Pair:
    """One trial's two numbers."""

    cell: tuple[float, int]
    """Scale and number of sets; trials of one cell differ in their seed."""
    x: float
    """The number that may predict."""
    y: float
    """The number that is to be predicted."""
    trial_id: str
    """The trial."""


@dataclass(frozen=True)
class Coefficient:
    """A correlation."""

    value: float
    """Over all trials."""
    low: float | None
    """Lower end of the interval; None where there are too few cells for one."""
    high: float | None
    """Upper end of the interval; None where there are too few cells for one."""

    @property
    def clear(self) -> bool:
        """Whether there is an interval and it leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Association:
    """How two numbers go together over the trials of one family and arm."""

    trials: int
    """Number of trials."""
    cells: int
    """Number of cells they come from."""
    pearson: Coefficient | None
    """Linear correlation; None where it is not defined."""
    spearman: Coefficient | None
    """Correlation of the ranks, ties sharing theirs; None where it is not defined."""
    level: float
    """Nominal coverage of the intervals."""
    note: str
    """What is lacking and what to add; empty where nothing is."""


def associate(
    pairs: Sequence[Pair],
    *,
    x_name: str = "x",
    y_name: str = "y",
    level: float = 0.9,
    replicates: int = 4000,
    seed: int = 0,
) -> Association:
    """Both correlations of x and y with intervals; the same seed gives the same intervals.

    With fewer than 3 cells, or a number that never varies, there is no correlation and a note says what to add.
    ConfigError: a level outside (0, 1), or fewer than 100 replicates. DataError: a value that is not finite.
    """
    _check(pairs, level, replicates)
    cells = sorted({pair.cell for pair in pairs})
    x_S, y_S = (np.array(values, dtype=np.float64) for values in ([p.x for p in pairs], [p.y for p in pairs]))
    lacking = _lacking(len(cells), x_S, y_S, x_name, y_name)
    if lacking:
        return Association(len(pairs), len(cells), None, None, level, lacking)
    note = _no_interval(len(cells), len(pairs))
    weights_RS = np.ones((1, len(pairs)))
    if not note:
        cell_S = np.array([cells.index(pair.cell) for pair in pairs])
        drawn_RC = np.random.default_rng(seed).multinomial(len(cells), [1 / len(cells)] * len(cells), size=replicates)
        weights_RS = np.vstack([weights_RS, drawn_RC[:, cell_S]])
    tail = _tail(len(cells), level)
    return Association(
        trials=len(pairs),
        cells=len(cells),
        pearson=_coefficient(_correlation(weights_RS, x_S[None], y_S[None]), tail),
        spearman=_coefficient(_correlation(weights_RS, _ranks(weights_RS, x_S), _ranks(weights_RS, y_S)), tail),
        level=level,
        note=note,
    )


def _ranks(weights_RS: Array, value_S: Array) -> Array:
    """Ranks of every replicate's trials [R, S], up to a constant: the weight below, and half of the weight at par."""
    below_SS = (value_S[:, None] < value_S) + 0.5 * (value_S[:, None] == value_S)
    ranks_RS: Array = weights_RS @ below_SS
    return ranks_RS


def _correlation(weights_RS: Array, x_RS: Array, y_RS: Array) -> Array:
    """Pearson's correlation of every replicate [R]; NaN where a replicate has one value only."""
    share_RS = weights_RS / weights_RS.sum(axis=1, keepdims=True)
    x_RS = x_RS - (share_RS * x_RS).sum(axis=1, keepdims=True)
    y_RS = y_RS - (share_RS * y_RS).sum(axis=1, keepdims=True)
    spread_R = (share_RS * x_RS**2).sum(axis=1), (share_RS * y_RS**2).sum(axis=1)
    varies_R = np.logical_and(*(part > LEAST_SPREAD * part[0] for part in spread_R))
    root_R = np.sqrt(np.where(varies_R, spread_R[0] * spread_R[1], np.nan))
    correlation_R: Array = np.clip((share_RS * x_RS * y_RS).sum(axis=1) / root_R, -1.0, 1.0)
    return correlation_R


def _coefficient(values_R: Array, tail: float) -> Coefficient:
    """The first value, and the percentiles of the others where there are any."""
    drawn = values_R[1:][np.isfinite(values_R[1:])]
    low, high = np.quantile(drawn, [tail, 1 - tail]).tolist() if drawn.size else (None, None)
    return Coefficient(float(values_R[0]), low, high)


def _tail(cells: int, level: float) -> float:
    """Share of replicates beyond either end of an interval."""
    return normal_share(-math.sqrt(cells / (cells - 1)) * t_quantile((1 + level) / 2, cells - 2))


def _lacking(cells: int, x_S: Array, y_S: NDArray[np.float64], x_name: str, y_name: str) -> str:
    """Why there is no correlation; empty where there is one."""
    if cells < LEAST_CELLS:
        return (
            f"{len(x_S)} trials in {cells} cells (scale and number of sets); a correlation needs {LEAST_CELLS} cells: "
            f"add scales"
        )
    for name, value_S in ((x_name, x_S), (y_name, y_S)):
        if np.ptp(value_S) == 0:
            return f"{name} is {value_S[0]:g} in all {len(value_S)} trials: add trials in which it differs"
    return ""


def _no_interval(cells: int, trials: int) -> str:
    """Why there is no interval; empty where there is one."""
    if cells > LEAST_CELLS_OF_SEEDS or (cells == LEAST_CELLS_OF_SEEDS and trials >= 2 * cells):
        return ""
    return (
        f"{trials} trials in {cells} cells give no interval: add scales, to {LEAST_CELLS_OF_SEEDS} of two seeds or to "
        f"{LEAST_CELLS_OF_SEEDS + 1}"
    )


def _check(pairs: Sequence[Pair], level: float, replicates: int) -> None:
    """ConfigError or DataError where nothing can be computed."""
    if not 0 < level < 1:
        raise ConfigError(f"interval level {level:g} is not between 0 and 1; use for instance 0.9")
    if replicates < 100:
        raise ConfigError(f"{replicates} bootstrap replicates are too few for an interval; use at least 100")
    for pair in pairs:
        if not (math.isfinite(pair.x) and math.isfinite(pair.y)):
            raise DataError(
                f"trial {pair.trial_id}: x = {pair.x}, y = {pair.y}; expected finite values: leave the trial out or "
                f"run it again"
            )
