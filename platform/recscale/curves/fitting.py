"""Least squares by variable projection, one law on many replicates at once.

Legend: R replicates of the observations, G grid points of the shape parameter, S observations, P linear parameters. The
shape is searched on a logarithmic grid that covers its whole range (many starts) and is narrowed around the best point;
at every grid point the linear parameters are solved exactly inside their bounds. The loss is the summed Gaussian one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from recscale.curves.laws import Array, Law
from recscale.errors import ConfigError, DataError

COARSE_POINTS = 121
"""Grid points over the whole range of a shape parameter."""
ZOOM_POINTS = 21
"""Grid points per narrowing; each divides the window by 10."""
TIGHT = 1e-12
"""Width of the last window of ln(shape), for a fit."""
LOOSE = 1e-4
"""Width of the last window of ln(shape), for bootstrap replicates."""
BOUND_TOLERANCE = 1e-9
"""A parameter this close to a bound, as a share of the data's or the range's size, counts as at it."""


@dataclass(frozen=True)
class Fit:
    """One law fitted to one set of observations."""

    law: Law
    """The law."""
    parameters: tuple[float, ...]
    """Values, in the order of law.parameter_names."""
    at_bound: tuple[bool, ...]
    """Which of them lie at a bound of the law: not identified by the data."""
    rss: float
    """Weighted residual sum of squares."""
    converged: bool
    """Whether the search narrowed down on a finite minimum."""


@dataclass(frozen=True)
class BatchFit:
    """One law fitted to R replicates."""

    parameters: Array
    """Values [R, P + Q], in the order of law.parameter_names."""
    rss: Array
    """Weighted residual sums of squares [R]."""


def fit(law: Law, x: Sequence[float] | Array, y: Sequence[float] | Array, weights: Array | None = None) -> Fit:
    """Fits a law to observations y at x; weights multiply squared residuals. DataError: x or y not as expected."""
    x_VS, y_S = checked(law, x, y)
    batch = fit_batch(law, x_VS, y_S[None], weights, TIGHT)
    values = batch.parameters[0]
    return Fit(
        law=law,
        parameters=tuple(values.tolist()),
        at_bound=_at_bound(law, values, float(np.abs(y_S).max())),
        rss=float(batch.rss[0]),
        converged=bool(np.isfinite(values).all() and np.isfinite(batch.rss[0])),
    )


def fit_batch(law: Law, x_VS: Array, y_RS: Array, weights: Array | None, width: float) -> BatchFit:
    """Fits a law to every row of y, narrowing ln(shape) to `width`."""
    root_S = np.ones(y_RS.shape[1]) if weights is None else np.sqrt(weights)
    target_R1S = (y_RS * root_S)[:, None]
    if not law.shapes:
        linear, rss = _solve(law, law.basis(x_VS, np.empty((1, 1, 0))) * root_S[:, None], target_R1S)
        return BatchFit(linear[:, 0], rss[:, 0])
    if len(law.shapes) > 1:
        raise ConfigError(f"{law.name} has {len(law.shapes)} shape parameters, expected at most 1; use a simpler law")
    low, high = math.log(law.shapes[0].lower), math.log(law.shapes[0].upper)
    grid_RG = np.linspace(low, high, COARSE_POINTS)[None]
    replicates = np.arange(len(y_RS))
    while True:
        design = law.basis(x_VS, np.exp(grid_RG)[..., None]) * root_S[:, None]
        linear, rss = _solve(law, design, target_R1S)
        best_R = rss.argmin(axis=1)
        rows_R = replicates if len(grid_RG) > 1 else np.zeros_like(replicates)
        if np.ptp(grid_RG, axis=1).max() <= width:
            shape_R1 = np.exp(grid_RG[rows_R, best_R])[:, None]
            return BatchFit(np.hstack([linear[replicates, best_R], shape_R1]), rss[replicates, best_R])
        left_R = grid_RG[rows_R, np.maximum(best_R - 1, 0)]
        right_R = grid_RG[rows_R, np.minimum(best_R + 1, grid_RG.shape[1] - 1)]
        grid_RG = np.linspace(left_R, right_R, ZOOM_POINTS, axis=1)


def checked(law: Law, x: Sequence[float] | Array, y: Sequence[float] | Array) -> tuple[Array, Array]:
    """x as [V, S] and y as [S]; DataError where sizes differ, x is not positive or a value is not finite."""
    x_VS, y_S = np.atleast_2d(np.asarray(x, dtype=np.float64)), np.asarray(y, dtype=np.float64)
    if x_VS.shape != (len(law.variables), y_S.size) or y_S.ndim != 1 or y_S.size == 0:
        raise DataError(
            f"{law.name}: x of shape {x_VS.shape} and y of shape {y_S.shape} do not fit; expected one value of each of "
            f"{', '.join(law.variables)} per observation and at least one observation"
        )
    if not (np.isfinite(y_S).all() and np.isfinite(x_VS).all() and (x_VS > 0).all()):
        raise DataError(f"{law.name}: x must be finite and above 0 and y finite; drop the observations that are not")
    return x_VS, y_S


def _solve(law: Law, design: Array, target: Array) -> tuple[Array, Array]:
    """Exact least squares inside the bounds: the best feasible one of all choices of parameters held at a bound.

    design [R or 1, G, S, P] and target [R, 1, S] to linear [R, G, P] and rss [R, G]. The first choice holds none: where
    it is feasible it is the best.
    """
    shape = (*np.broadcast_shapes(design.shape[:2], target.shape[:2]), design.shape[3])
    best_linear, best_rss = np.full(shape, np.nan), np.full(shape[:2], np.inf)
    states = [[None, *(b for b in (p.lower, p.upper) if math.isfinite(b))] for p in law.linear]
    lower, upper = np.array([p.lower for p in law.linear]), np.array([p.upper for p in law.linear])
    for held in product(*states):
        free = [index for index, value in enumerate(held) if value is None]
        linear = np.broadcast_to(np.array([value or 0.0 for value in held]), shape).copy()
        residual = target - (design * linear[:1, :1, None]).sum(axis=-1)
        coefficients, residual = _least_squares(design[..., free], residual)
        linear[..., free] = coefficients
        rss = (residual**2).sum(axis=-1)
        better = ((linear >= lower) & (linear <= upper)).all(axis=-1) & (rss < best_rss)
        best_linear[better], best_rss[better] = linear[better], rss[better]
        if len(free) == len(held) and better.all():
            break
    return best_linear, best_rss


def _least_squares(design: Array, target: Array) -> tuple[Array, Array]:
    """Coefficients and residual by modified Gram-Schmidt on the few columns; a dependent column gets coefficient 0."""
    columns = [design[..., index] for index in range(design.shape[-1])]
    steps: list[tuple[Array, list[Array]]] = []
    residual = target
    for index, column in enumerate(columns):
        size = np.linalg.norm(design[..., index], axis=-1)
        norm = np.linalg.norm(column, axis=-1)
        usable = norm > 1e-13 * size
        unit = column * np.where(usable, 1.0 / np.where(usable, norm, 1.0), 0.0)[..., None]
        overlaps = [(unit * later).sum(axis=-1) for later in columns[index + 1 :]]
        columns[index + 1 :] = [
            later - overlap[..., None] * unit for later, overlap in zip(columns[index + 1 :], overlaps, strict=True)
        ]
        height = (unit * residual).sum(axis=-1)
        residual = residual - height[..., None] * unit
        steps.append((np.where(usable, height / np.where(usable, norm, 1.0), 0.0), [o / norm for o in overlaps]))
    return _back_substitute(steps, residual), residual


def _back_substitute(steps: list[tuple[Array, list[Array]]], residual: Array) -> Array:
    """Solves the unit triangular system that Gram-Schmidt leaves."""
    solved: list[Array] = []
    for height, overlaps in reversed(steps):
        value = height
        for overlap, later in zip(overlaps, solved[::-1], strict=True):
            value = value - overlap * later
        solved.append(np.asarray(value))
    return np.stack(solved[::-1], axis=-1) if solved else np.empty((*residual.shape[:-1], 0))


def _at_bound(law: Law, values: Array, size: float) -> tuple[bool, ...]:
    """Which parameters lie at one of their bounds."""
    linear = [
        bool(min(abs(value - p.lower), abs(value - p.upper)) <= BOUND_TOLERANCE * size)
        for p, value in zip(law.linear, values[: len(law.linear)], strict=True)
    ]
    shapes = [
        min(math.log(value / p.lower), math.log(p.upper / value)) <= BOUND_TOLERANCE
        for p, value in zip(law.shapes, values[len(law.linear) :], strict=True)
    ]
    return (*linear, *shapes)
