"""Fits a law by variable projection, to one set of observations or to many replicates of it at once.

Legend: R replicates, S observations, P linear and Q shape parameters, T starts. The joint fit of Hoffmann et al.'s law
has a condition number near 3.5e11, the projected one near 11 (`Fit.condition_number`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recscale.curves.laws import Array, Law
from recscale.curves.losses import GAUSSIAN, Loss, Space
from recscale.curves.search import (
    DENSE,
    SPARSE,
    Box,
    Found,
    Problems,
    best_starts,
    box_of,
    linearise,
    refine,
    score_starts,
)
from recscale.errors import DataError

TIGHT = 1e-9
"""Tolerance of a fit: the last step moves the law by less than this share of the residuals."""
LOOSE = 1e-3
"""Tolerance of a bootstrap replicate."""
REFINED = 8
"""Starts of a fit that are followed to their optimum."""
REPEATED = 2
"""Starts of a replicate that are followed to their optimum."""
BOUND_TOLERANCE = 1e-9
"""A parameter this close to a bound, as a share of the data's or the box's size, counts as at it."""


@dataclass(frozen=True)
class Fit:
    """One law fitted to one set of observations."""

    law: Law
    """The law."""
    parameters: tuple[float, ...]
    """Values, in the order of law.parameter_names."""
    at_bound: tuple[bool, ...]
    """Which of them lie at a bound of the law: not identified by the data."""
    objective: float
    """The summed loss: half the sum of squares for a Gaussian one."""
    rss: float
    """Weighted sum of squared residuals, in the space of the loss."""
    converged: bool
    """Whether the search ended where the projected gradient vanishes."""
    condition_number: float
    """Largest over smallest eigenvalue of the projected problem's Gauss-Newton Hessian by ln(shape), shapes at a bound
    left out; 1 for at most one free shape, infinite where the data do not tell two shapes apart."""
    starts: int
    """Starts that were scored."""
    loss: Loss
    """What was minimised."""
    optima: Array
    """Local optima that the starts led to, best first, as points of the search [T, Q]."""


@dataclass(frozen=True)
class BatchFit:
    """One law fitted to R replicates."""

    parameters: Array
    """Values [R, P + Q], in the order of law.parameter_names."""
    objective: Array
    """Summed losses [R]."""


def fit(
    law: Law,
    x: Sequence[float] | Array,
    y: Sequence[float] | Array,
    weights: Array | None = None,
    loss: Loss = GAUSSIAN,
) -> Fit:
    """Fits a law to observations y at x; weights multiply losses. DataError: x or y not as expected."""
    x_VS, y_S = checked(law, x, y, loss)
    problems = _problems(law, x_VS, y_S[None], weights, loss)
    grid_TQ, per_shape = problems.box.grid(DENSE)
    scores = score_starts(problems, grid_TQ)
    starts = best_starts(scores, grid_TQ, per_shape, REFINED)
    found = refine(problems.take(np.zeros(len(starts), dtype=np.intp)), starts, TIGHT)
    order = np.argsort(found.total, kind="stable")
    values = _values(problems.box, found)[order[0]]
    residual = loss.residual(y_S, law.mean(values, x_VS))
    return Fit(
        law=law,
        parameters=tuple(values.tolist()),
        at_bound=_at_bound(problems, values, found.u[order[0]]),
        objective=float(found.total[order[0]]),
        rss=float((problems.weights[0] * residual**2).sum()),
        converged=bool(np.isfinite(values).all() and found.converged[order[0]]),
        condition_number=_condition_number(problems, values, found.u[order[:1]]),
        starts=len(grid_TQ),
        loss=loss,
        optima=found.u[order[:3]],
    )


def fit_batch(
    law: Law,
    x_VS: Array,
    y_RS: Array,
    weights: Array | None = None,
    loss: Loss = GAUSSIAN,
    *,
    optima: Array | None = None,
    tolerance: float = LOOSE,
) -> BatchFit:
    """Fits a law to every row of y, from a sparse grid of starts and from the `optima` of a fit of like observations.

    weights: [S], or [R, S].
    """
    problems = _problems(law, x_VS, y_RS, weights, loss)
    starts = problems.box.grid(SPARSE)[0]
    if optima is not None:
        starts = np.vstack([optima, starts])
    scores = score_starts(problems, starts)
    kept = np.argsort(scores, axis=1, kind="stable")[:, : REPEATED if len(law.shapes) > 1 else 1]
    rows = np.repeat(np.arange(len(y_RS)), kept.shape[1])
    found = refine(problems.take(rows), starts[kept.ravel()], tolerance)
    totals = found.total.reshape(kept.shape)
    best = totals.argmin(axis=1) + np.arange(len(y_RS)) * kept.shape[1]
    return BatchFit(_values(problems.box, found)[best], found.total[best])


def checked(
    law: Law, x: Sequence[float] | Array, y: Sequence[float] | Array, loss: Loss = GAUSSIAN
) -> tuple[Array, Array]:
    """x as [V, S] and y as [S]; DataError where sizes differ, x is not positive or a value cannot be used."""
    x_VS, y_S = np.atleast_2d(np.asarray(x, dtype=np.float64)), np.asarray(y, dtype=np.float64)
    if x_VS.shape != (len(law.variables), y_S.size) or y_S.ndim != 1 or y_S.size == 0:
        raise DataError(
            f"{law.name}: x of shape {x_VS.shape} and y of shape {y_S.shape} do not fit; expected one value of each of "
            f"{', '.join(law.variables)} per observation and at least one observation"
        )
    if not (np.isfinite(y_S).all() and np.isfinite(x_VS).all() and (x_VS > 0).all()):
        raise DataError(f"{law.name}: x must be finite and above 0 and y finite; drop the observations that are not")
    if loss.space is Space.LOG and not (y_S > 0).all():
        raise DataError(f"{law.name}: y must be above 0 for a loss of its logarithm; got {y_S.min():g}")
    return x_VS, y_S


def _problems(law: Law, x_VS: Array, y_RS: Array, weights: Array | None, loss: Loss) -> Problems:
    full = np.ones_like(y_RS) if weights is None else np.broadcast_to(weights, y_RS.shape)
    return Problems(law, box_of(law, x_VS), loss, x_VS, y_RS, full)


def _values(box: Box, found: Found) -> Array:
    """Parameters in the order of the law's names [B, P + Q]."""
    return np.hstack([found.linear, box.shapes(found.u)])


def _at_bound(problems: Problems, values: Array, u: Array) -> tuple[bool, ...]:
    """Which parameters lie at one of their bounds: a linear one by what the distance changes of the mean."""
    law, box = problems.law, problems.box
    size = BOUND_TOLERANCE * float(np.abs(problems.y).max())
    columns = np.abs(problems.design(u[None])[0]).max(axis=0)
    linear = [
        bool(min(abs(value - p.lower), abs(value - p.upper)) * column <= size)
        for p, value, column in zip(law.linear, values[: len(law.linear)], columns, strict=True)
    ]
    shapes = np.minimum(u - box.lower, box.upper - u) <= BOUND_TOLERANCE * np.maximum(box.upper - box.lower, 1e-300)
    return (*linear, *shapes.tolist())


def _condition_number(problems: Problems, values: Array, u: Array) -> float:
    """Of the free shapes' Gauss-Newton Hessian at the optimum u [1, Q]."""
    fitted = problems.law.mean(values, problems.x)[None]
    target, root = problems.loss.working(problems.y, fitted, problems.weights)
    _, jacobian = linearise(problems, u, target, root)
    inside = (u[0] > problems.box.lower) & (u[0] < problems.box.upper)
    if inside.sum() < 2:
        return 1.0
    singular = np.linalg.svd(jacobian[0][:, inside], compute_uv=False)
    return float((singular[0] / singular[-1]) ** 2) if singular[-1] > 0 else float("inf")
