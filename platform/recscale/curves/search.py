"""The search for a law's shapes: a grid of starts, then Levenberg-Marquardt steps of the projected problem.

Legend: B problems, S observations, P linear and Q shape parameters, T starts, V variables. A point of the search is
u [Q]: ln(shape), or the shape itself where that is searched linearly. At every point the linear parameters are solved
exactly, and a step is that of the residuals left by it (variable projection with Kaufman's derivative, which gives the
gradient exactly). All B problems step together. Losses other than the Gaussian are reweighted at every step.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recscale.curves.laws import Array, Law, Search
from recscale.curves.linear import solve_linear
from recscale.curves.losses import Loss

DENSE = 2500
"""Starts of a single fit at most, over the whole box of shapes."""
SPARSE = 36
"""Starts of a replicate at most, beside the optima of the fit that it repeats."""
MOST_PER_SHAPE = {DENSE: 121, SPARSE: 25}
"""Starts per shape parameter at most: a law of one shape needs no more."""
MOST_STEPS = 400
"""Steps after which a search has not converged."""
COMPLEX_STEP = 1e-20
"""Step of the derivative; no difference is taken, so that it may be tiny."""
ROUNDING = 1e-14
"""Changes below this share of the observations' size are rounding."""
EXACT = 1e-9
"""Residuals below this share of the observations' size are none: such a fit has converged."""


@dataclass(frozen=True)
class Box:
    """Where the shapes of a law are searched."""

    lower: Array
    """Lower ends of u [Q]."""
    upper: Array
    """Upper ends of u [Q]."""
    logarithmic: NDArray[np.bool_]
    """Which of them are logarithms [Q]."""

    def shapes(self, u: NDArray[Any]) -> NDArray[Any]:
        """Shapes at u [..., Q], real or complex."""
        return np.where(self.logarithmic, np.exp(np.where(self.logarithmic, u, 0.0)), u)

    def grid(self, most: int) -> tuple[Array, tuple[int, ...]]:
        """Evenly spaced points [T, Q], and how many there are per shape."""
        if not self.lower.size:
            return np.empty((1, 0)), ()
        per_shape = min(int(most ** (1 / self.lower.size)), MOST_PER_SHAPE[most])
        axes = [np.linspace(low, high, per_shape) for low, high in zip(self.lower, self.upper, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes)), (per_shape,) * len(axes)


@dataclass(frozen=True)
class Found:
    """Where the searches of B problems ended."""

    u: Array
    """Points [B, Q]."""
    linear: Array
    """Linear parameters [B, P]."""
    total: Array
    """Loss [B]."""
    converged: NDArray[np.bool_]
    """Whether the projected gradient vanishes [B]."""


@dataclass(frozen=True)
class Problems:
    """B sets of observations of one law."""

    law: Law
    """The law."""
    box: Box
    """Where its shapes are searched."""
    loss: Loss
    """What is minimised."""
    x: Array
    """Positions [V, S], the same for all."""
    y: Array
    """Observations [B, S]."""
    weights: Array
    """Their weights [B, S]."""

    def take(self, rows: NDArray[np.intp]) -> "Problems":
        """Some of them, in that order."""
        return Problems(self.law, self.box, self.loss, self.x, self.y[rows], self.weights[rows])

    def design(self, u: Array) -> Array:
        """Columns at u [B, Q]: [B, S, P]."""
        return np.ascontiguousarray(self.law.basis(self.x, self.box.shapes(u)))


def box_of(law: Law, x_VS: Array) -> Box:
    """The box of a law's shapes over observations at x."""
    ends = [
        (p.lower * x_VS[0].min(), p.upper * x_VS[0].max()) if p.search is Search.POSITION else (p.lower, p.upper)
        for p in law.shapes
    ]
    logarithmic = np.array([p.search is not Search.LINEAR for p in law.shapes], dtype=bool)
    logs = [tuple(map(math.log, pair)) if log else pair for pair, log in zip(ends, logarithmic, strict=True)]
    lower, upper = np.array(logs, dtype=np.float64).reshape(-1, 2).T
    return Box(lower, upper, logarithmic)


def score_starts(problems: Problems, starts_TQ: Array) -> Array:
    """The loss of every problem at every start, linear parameters solved [B, T]."""
    count, size = len(starts_TQ), problems.x.shape[1]
    chunk = max(1, 400_000 // (count * size))
    totals = []
    for first in range(0, len(problems.y), chunk):
        rows = np.repeat(np.arange(first, min(first + chunk, len(problems.y))), count)
        part = problems.take(rows)
        design = np.tile(problems.design(starts_TQ), (len(rows) // count, 1, 1))
        fitted = (design * _start_linear(part, design)[:, None]).sum(axis=-1)
        totals.append(part.loss.total(part.y, fitted, part.weights).reshape(-1, count))
    return np.concatenate(totals)


def best_starts(scores_BT: Array, starts_TQ: Array, per_shape: tuple[int, ...], most: int) -> Array:
    """The `most` best of one problem's starts that are the best among their neighbours [*, Q]."""
    from scipy.ndimage import minimum_filter  # only here: it takes a quarter of a second

    scores = scores_BT[0].reshape(per_shape)
    local = scores <= minimum_filter(scores, size=3, mode="nearest") if per_shape else np.array(True)
    order = np.argsort(np.where(local, scores, np.inf).ravel(), kind="stable")
    return starts_TQ[order[: min(most, int(local.sum()))]]


def refine(problems: Problems, u: Array, tolerance: float) -> Found:
    """Steps from u [B, Q] until no fitted value moves by more than `tolerance` times the residuals."""
    u = u.copy()
    design = problems.design(u)
    linear = _start_linear(problems, design)
    fitted = (design * linear[:, None]).sum(axis=-1)
    total = problems.loss.total(problems.y, fitted, problems.weights)
    damping = np.full(len(u), 1e-3)
    slope = np.full(len(u), np.inf)
    rows = np.arange(len(u))
    for _ in range(MOST_STEPS):
        part = problems.take(rows)
        step = _step(part, u[rows], fitted[rows], damping[rows], tolerance)
        better = step.total <= total[rows]
        taken = rows[better]
        u[taken], linear[taken], fitted[taken] = step.u[better], step.linear[better], step.fitted[better]
        total[taken], slope[rows] = step.total[better], step.slope
        damping[rows] = np.where(better, np.maximum(damping[rows] / 10, 1e-12), damping[rows] * 8)
        rows = rows[~np.where(better, step.small, damping[rows] > 1e9)]
        if not rows.size:
            break
    return Found(u, linear, total, slope <= 1e-4)


@dataclass(frozen=True)
class _Step:
    """One trial step of B problems."""

    u: Array
    """Where it leads [B, Q]."""
    linear: Array
    """Linear parameters there [B, P]."""
    fitted: Array
    """The law there [B, S]."""
    total: Array
    """Loss there [B]."""
    small: NDArray[np.bool_]
    """Whether it moves no fitted value by more than the tolerance [B]."""
    slope: Array
    """Largest cosine between the residuals and a free direction where it started [B]; 0 at an optimum."""


def _step(problems: Problems, u: Array, fitted: Array, damping: Array, tolerance: float) -> _Step:
    target, root = problems.loss.working(problems.y, fitted, problems.weights)
    residual, jacobian = linearise(problems, u, target, root)
    moved, slope = _damped(problems.box, u, residual, jacobian, damping, np.linalg.norm(target * root, axis=1))
    design = problems.design(moved)
    linear = solve_linear(problems.law.linear, design * root[..., None], target * root).linear
    there = (design * linear[:, None]).sum(axis=-1)
    change = np.linalg.norm((there - fitted) * root, axis=1)
    size = tolerance * np.linalg.norm(residual, axis=1) + ROUNDING * np.linalg.norm(target * root, axis=1)
    total = problems.loss.total(problems.y, there, problems.weights)
    return _Step(moved, linear, there, total, change <= size, slope)


def linearise(problems: Problems, u: Array, target: Array, root: Array) -> tuple[Array, Array]:
    """Projected weighted residuals [B, S] at u and their derivatives by u [B, S, Q]."""
    solved = solve_linear(problems.law.linear, problems.design(u) * root[..., None], target * root)
    columns = []
    for index in range(u.shape[1]):
        shifted = u.astype(np.complex128)
        shifted[:, index] += 1j * COMPLEX_STEP
        slopes = problems.law.basis(problems.x, problems.box.shapes(shifted)).imag / COMPLEX_STEP
        moved = (slopes * solved.linear[:, None]).sum(axis=-1) * root
        along = (solved.units * moved[..., None]).sum(axis=1)
        columns.append((solved.units * along[:, None]).sum(axis=-1) - moved)
    jacobian = np.stack(columns, axis=-1) if columns else np.empty((*target.shape, 0))
    return solved.residual, jacobian


def _damped(box: Box, u: Array, residual: Array, jacobian: Array, damping: Array, size: Array) -> tuple[Array, Array]:
    """The damped step inside the box, and how far its start is from an optimum."""
    gradient = (jacobian * residual[..., None]).sum(axis=1)
    stuck = ((u <= box.lower) & (gradient > 0)) | ((u >= box.upper) & (gradient < 0))
    gradient = np.where(stuck, 0.0, gradient)
    lengths = np.linalg.norm(jacobian, axis=1)
    noise = np.maximum(np.linalg.norm(residual, axis=1), EXACT * size)[:, None]
    real = lengths > ROUNDING * size[:, None]
    cosines = np.where(real, np.abs(gradient) / np.where(real, lengths * noise, 1.0), 0.0)
    slope = cosines.max(axis=1, initial=0.0)
    hessian = np.swapaxes(jacobian, 1, 2) @ jacobian
    open_ = ~stuck & real
    hessian = np.where(open_[:, :, None] & open_[:, None, :], hessian, 0.0)
    index = np.arange(u.shape[1])
    hessian[:, index, index] = np.where(open_, hessian[:, index, index] * (1 + damping[:, None]), 1.0)
    step = -np.linalg.solve(hessian, np.where(open_, gradient, 0.0)[..., None])[..., 0]
    longest = np.abs(step).max(axis=1, initial=0.0)[:, None]
    return np.clip(u + step / np.maximum(1.0, longest), box.lower, box.upper), slope


def _start_linear(problems: Problems, design: Array) -> Array:
    """Linear parameters before there is a fit [B, P]."""
    target, root = problems.loss.start(problems.y, problems.weights)
    return solve_linear(problems.law.linear, design * root[..., None], target * root).linear
