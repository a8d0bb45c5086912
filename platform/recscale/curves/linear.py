"""Exact linear least squares inside bounds, for many small problems at once.

Legend: B problems, S observations, P linear parameters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from recscale.curves.laws import Array, LinearParameter


@dataclass(frozen=True)
class Solved:
    """The solutions of B problems."""

    linear: Array
    """Coefficients [B, P]."""
    residual: Array
    """target - design @ linear [B, S]."""
    units: Array
    """Orthonormal columns [B, S, P] that span the free columns of the design; 0 for a column held at a bound."""


def solve_linear(parameters: Sequence[LinearParameter], design: Array, target: Array) -> Solved:
    """The best feasible solution of design [B, S, P] and target [B, S].

    Where the unbounded solution is feasible it is the best; elsewhere it is the best feasible one over all choices of
    parameters held at a bound, which is exact and quick for the few parameters of a law.
    """
    lower, upper = np.array([p.lower for p in parameters]), np.array([p.upper for p in parameters])
    linear, residual, units = _least_squares(design, target)
    outside = np.flatnonzero(((linear < lower) | (linear > upper)).any(axis=1))
    if outside.size:
        inside = _held(parameters, design[outside], target[outside], lower, upper)
        linear[outside], residual[outside], units[outside] = inside.linear, inside.residual, inside.units
    return Solved(linear, residual, units)


def _held(parameters: Sequence[LinearParameter], design: Array, target: Array, lower: Array, upper: Array) -> Solved:
    """The best feasible solution with at least one parameter at a bound."""
    states = [[None, *(b for b in (p.lower, p.upper) if math.isfinite(b))] for p in parameters]
    best = Solved(np.full(design[:, 0].shape, np.nan), target.copy(), np.zeros_like(design))
    best_rss = np.full(len(design), np.inf)
    for held in product(*states):
        free = [index for index, value in enumerate(held) if value is None]
        if len(free) == len(held):
            continue
        linear = np.broadcast_to(np.array([value or 0.0 for value in held]), best.linear.shape).copy()
        coefficients, residual, units = _least_squares(design[..., free], target - (design @ linear[0]))
        linear[:, free] = coefficients
        rss = (residual**2).sum(axis=1)
        better = ((linear >= lower) & (linear <= upper)).all(axis=1) & (rss < best_rss)
        best.linear[better], best.residual[better], best_rss[better] = linear[better], residual[better], rss[better]
        spread = np.zeros_like(design)
        spread[..., free] = units
        best.units[better] = spread[better]
    return best


def _least_squares(design: Array, target: Array) -> tuple[Array, Array, Array]:
    """Coefficients, residual and units by modified Gram-Schmidt on the few columns; a dependent column gets 0."""
    columns = [design[..., index] for index in range(design.shape[-1])]
    units = np.zeros_like(design)
    steps: list[tuple[Array, list[Array]]] = []
    residual = target.copy()
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
        residual -= height[..., None] * unit
        units[..., index] = unit
        scale = np.where(usable, norm, 1.0)
        steps.append((np.where(usable, height / scale, 0.0), [overlap / scale for overlap in overlaps]))
    return _back_substitute(steps, len(target)), residual, units


def _back_substitute(steps: list[tuple[Array, list[Array]]], problems: int) -> Array:
    """Solves the unit triangular system that Gram-Schmidt leaves."""
    solved: list[Array] = []
    for height, overlaps in reversed(steps):
        value = height
        for overlap, later in zip(overlaps, solved[::-1], strict=True):
            value = value - overlap * later
        solved.append(np.asarray(value))
    return np.stack(solved[::-1], axis=-1) if solved else np.empty((problems, 0))
