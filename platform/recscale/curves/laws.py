"""Laws of quality against scale, in the form that variable projection needs.

Legend: S observations, V variables, P linear parameters, Q shape parameters. A law's mean is basis(x, shape) @ linear:
given the shape parameters (exponents), the linear parameters follow in closed form, so that only shapes are searched.
The joint problem has a condition number near 3.5e11, the projected one near 11.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LinearParameter:
    """A parameter that the mean is linear in."""

    name: str
    """Its name in reports."""
    lower: float = -math.inf
    """Smallest value allowed."""
    upper: float = math.inf
    """Largest value allowed."""


@dataclass(frozen=True)
class ShapeParameter:
    """A parameter that is searched, on a logarithmic axis."""

    name: str
    """Its name in reports."""
    lower: float
    """Lower end of the search, above 0."""
    upper: float
    """Upper end of the search."""


@dataclass(frozen=True)
class Law:
    """One candidate shape of a curve."""

    name: str
    """Its name in reports."""
    formula: str
    """The mean, in the parameters' names."""
    linear: tuple[LinearParameter, ...]
    """P parameters, in the order of the basis."""
    shapes: tuple[ShapeParameter, ...]
    """Q parameters, in the order that the basis takes them."""
    basis: Callable[[Array, Array], Array]
    """(x_VS, shape [..., Q]) to the columns [..., S, P]; every value of x is positive."""
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


EXPONENT = ShapeParameter("exponent", lower=1e-2, upper=10.0)
"""Below 0.01 a power law is log-linear over any range that a study spans; above 10 it is a step after one scale."""

CONSTANT = Law("constant", "floor", (LinearParameter("floor"),), (), _ones)
LOG_LINEAR = Law(
    "log_linear",
    "intercept - slope * ln(n)",
    (LinearParameter("intercept"), LinearParameter("slope")),
    (),
    _log_columns,
)
POWER_LAW = Law(
    "power_law",
    "floor + amplitude * n^-exponent",
    (LinearParameter("floor", lower=0.0), LinearParameter("amplitude", lower=0.0)),
    (EXPONENT,),
    _falling_columns,
)
RISING_POWER_LAW = Law(
    "rising_power_law",
    "ceiling - amplitude * n^-exponent",
    (LinearParameter("ceiling"), LinearParameter("amplitude", lower=0.0)),
    (EXPONENT,),
    _rising_columns,
)


def candidate_laws(upper: float = math.inf) -> tuple[Law, ...]:
    """The laws a curve is chosen from, simplest first; `upper` is the largest value the metric can take (1 for AUC)."""
    if math.isinf(upper):
        return (CONSTANT, LOG_LINEAR, POWER_LAW, RISING_POWER_LAW)
    bounded = replace(
        RISING_POWER_LAW,
        formula=f"{RISING_POWER_LAW.formula}, ceiling <= {upper:g}",
        linear=(LinearParameter("ceiling", upper=upper), *RISING_POWER_LAW.linear[1:]),
    )
    return (CONSTANT, LOG_LINEAR, POWER_LAW, bounded)
