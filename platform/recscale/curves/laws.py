"""Laws of quality against size, in the form that variable projection needs.

Legend: S observations, V variables, P linear parameters, Q shape parameters. A law's mean is basis(x, shape) @ linear:
given the shape parameters (exponents), the linear parameters follow exactly, so that only shapes are searched.
A basis is analytic in the shapes and takes complex ones: the search differentiates it by complex steps.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from recscale.errors import ConfigError

Array = NDArray[np.float64]


class Search(StrEnum):
    """The axis on which a shape parameter is searched."""

    LOG = "log"
    LINEAR = "linear"
    POSITION = "position"
    """Logarithmic, between the smallest and the largest value of the law's first variable."""


@dataclass(frozen=True)
class LinearParameter:
    """A parameter that the mean is linear in."""

    name: str
    """Its name in reports."""
    unit: str
    """Its unit; y is the target's own, n and d are those of the variables."""
    lower: float = -math.inf
    """Smallest value allowed."""
    upper: float = math.inf
    """Largest value allowed."""


@dataclass(frozen=True)
class ShapeParameter:
    """A parameter that is searched."""

    name: str
    """Its name in reports."""
    unit: str
    """Its unit; 1 for a pure number."""
    lower: float
    """Lower end of the search; of a position, as a multiple of the smallest n."""
    upper: float
    """Upper end of the search; of a position, as a multiple of the largest n."""
    search: Search = Search.LOG
    """The axis of the search."""


@dataclass(frozen=True)
class Law:
    """One candidate shape of a curve."""

    name: str
    """Its name in reports and on the command line."""
    formula: str
    """The mean, in the parameters' names."""
    linear: tuple[LinearParameter, ...]
    """P parameters, in the order of the basis."""
    shapes: tuple[ShapeParameter, ...]
    """Q parameters, in the order that the basis takes them."""
    basis: Callable[[Array, Array], Array]
    """(x_VS, shape [..., Q]) to the columns [..., S, P]; every value of x is positive."""
    source: str
    """Where the form comes from."""
    variables: tuple[str, ...] = ("n",)
    """Names of the V rows of x."""

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Linear parameters first, then shapes: the order of every vector of parameters."""
        return (*(parameter.name for parameter in self.linear), *(parameter.name for parameter in self.shapes))

    def mean(self, parameters: Array, x_S: Array) -> Array:
        """The law's mean at x: parameters [..., P+Q] to [..., S]."""
        linear, shape = np.split(parameters, [len(self.linear)], axis=-1)
        return np.asarray((self.basis(np.atleast_2d(x_S), shape) * linear[..., None, :]).sum(axis=-1))


def _ones(x_VS: Array, shape_Q: Array) -> Array:
    """One constant column."""
    return np.ones((*shape_Q.shape[:-1], x_VS.shape[1], 1))


def _log_columns(x_VS: Array, shape_Q: Array) -> Array:
    """Columns 1 and -ln n."""
    columns_SP = np.stack([np.ones_like(x_VS[0]), -np.log(x_VS[0])], axis=-1)
    return np.broadcast_to(columns_SP, (*shape_Q.shape[:-1], *columns_SP.shape))


def _falling_columns(x_VS: Array, shape_Q: Array) -> Array:
    """Columns 1 and n^-exponent."""
    decay = x_VS[0] ** -shape_Q[..., :1]
    return np.stack([np.ones_like(decay), decay], axis=-1)


def _rising_columns(x_VS: Array, shape_Q: Array) -> Array:
    """Columns 1 and -n^-exponent."""
    return np.asarray(_falling_columns(x_VS, shape_Q) * np.array([1.0, -1.0]))


def _penalty_columns(x_VS: Array, shape_Q: Array) -> Array:
    """Columns 1, n^-exponent and n^exponent."""
    decay = x_VS[0] ** -shape_Q[..., :1]
    return np.stack([np.ones_like(decay), decay, 1 / decay], axis=-1)


def _broken_columns(x_VS: Array, shape_Q: Array) -> Array:
    """Columns 1 and n^-c0 (1 + (n/d)^(1/f))^(-c1 f), by logarithms so that no power overflows."""
    log_n = np.log(x_VS[0])
    exponent, change, position, sharpness = (shape_Q[..., index, None] for index in range(4))
    past = (log_n - np.log(position)) / sharpness
    far = past.real > 30
    softplus = np.where(far, past, np.log1p(np.exp(np.where(far, 0.0, past))))
    decay = np.exp(-exponent * log_n - change * sharpness * softplus)
    return np.stack([np.ones_like(decay), decay], axis=-1)


def _surface_columns(x_VS: Array, shape_Q: Array) -> Array:
    """Columns 1, n^-exponent_1 and d^-exponent_2."""
    decays = [x_VS[index] ** -shape_Q[..., index, None] for index in range(2)]
    return np.stack([np.ones_like(decays[0]), *decays], axis=-1)


EXPONENT = ShapeParameter("exponent", "1", lower=1e-2, upper=10.0)
"""Below 0.01 a power law is log-linear over any range that a study spans; above 10 it is a step after one scale."""

FLOOR = LinearParameter("floor", "y", lower=0.0)
"""No log loss, normalized entropy or 1 - AUC is below 0."""

CONSTANT = Law("constant", "floor", (FLOOR,), (), _ones, "the null hypothesis: size does not matter")
LOG_LINEAR = Law(
    "log_linear",
    "intercept - slope * ln(n)",
    (LinearParameter("intercept", "y"), LinearParameter("slope", "y per e-fold of n")),
    (),
    _log_columns,
    "the limit of a power law of small exponent",
)
POWER_LAW = Law(
    "power_law",
    "floor + amplitude * n^-exponent",
    (FLOOR, LinearParameter("amplitude", "y n^exponent", lower=0.0)),
    (EXPONENT,),
    _falling_columns,
    "Hestness et al. 2017 (arXiv 1712.00409), section 3",
)
RISING_POWER_LAW = Law(
    "rising_power_law",
    "ceiling - amplitude * n^-exponent",
    (LinearParameter("ceiling", "y"), LinearParameter("amplitude", "y n^exponent", lower=0.0)),
    (EXPONENT,),
    _rising_columns,
    "power_law with the sign of its amplitude turned: a loss that grows with size and saturates",
)
POWER_LAW_WITH_PENALTY = Law(
    "power_law_with_penalty",
    "floor + amplitude * n^-exponent + penalty * n^exponent",
    (
        FLOOR,
        LinearParameter("amplitude", "y n^exponent", lower=0.0),
        LinearParameter("penalty", "y n^-exponent", lower=0.0),
    ),
    (EXPONENT,),
    _penalty_columns,
    "power_law plus a price of size; one exponent serves both, so that five scales are enough to tell a turn",
)
BROKEN_POWER_LAW = Law(
    "broken_power_law",
    "floor + amplitude * n^-exponent * (1 + (n / break_at)^(1 / sharpness))^(-exponent_change * sharpness)",
    (FLOOR, LinearParameter("amplitude", "y n^exponent", lower=0.0)),
    (
        ShapeParameter("exponent", "1", lower=0.0, upper=3.0, search=Search.LINEAR),
        ShapeParameter("exponent_change", "1", lower=-3.0, upper=3.0, search=Search.LINEAR),
        ShapeParameter("break_at", "n", lower=1.0, upper=1.0, search=Search.POSITION),
        ShapeParameter("sharpness", "e-folds of n", lower=0.05, upper=5.0),
    ),
    _broken_columns,
    "Caballero et al. 2023 (arXiv 2210.14891), equation 1 with one break",
)
TWO_VARIABLE_POWER_LAW = Law(
    "two_variable_power_law",
    "floor + amplitude_1 * n^-exponent_1 + amplitude_2 * d^-exponent_2",
    (
        FLOOR,
        LinearParameter("amplitude_1", "y n^exponent_1", lower=0.0),
        LinearParameter("amplitude_2", "y d^exponent_2", lower=0.0),
    ),
    (replace(EXPONENT, name="exponent_1"), replace(EXPONENT, name="exponent_2")),
    _surface_columns,
    "Hoffmann et al. 2022 (arXiv 2203.15556), equation 2",
    variables=("n", "d"),
)

LAWS = {
    law.name: law
    for law in (
        CONSTANT,
        LOG_LINEAR,
        POWER_LAW,
        RISING_POWER_LAW,
        POWER_LAW_WITH_PENALTY,
        BROKEN_POWER_LAW,
        TWO_VARIABLE_POWER_LAW,
    )
}
"""Every law by name."""


def law_named(name: str) -> Law:
    """The law of that name; ConfigError where there is none."""
    if name not in LAWS:
        raise ConfigError(f"no law is called {name!r}; expected one of {', '.join(LAWS)}")
    return LAWS[name]


def candidate_laws(upper: float = math.inf) -> tuple[Law, ...]:
    """The laws a curve of one variable is chosen from, simplest first; `upper` is the target's largest possible value.

    What bounds the target bounds its limits: no floor below 0, no floor or ceiling above `upper`.
    """
    laws = tuple(law for law in LAWS.values() if len(law.variables) == 1)
    return laws if math.isinf(upper) else tuple(_bounded(law, upper) for law in laws)


def _bounded(law: Law, upper: float) -> Law:
    """The law with its limits at most `upper`."""
    limits = ("floor", "ceiling")
    held = tuple(replace(each, upper=upper) if each.name in limits else each for each in law.linear)
    return replace(law, linear=held)
