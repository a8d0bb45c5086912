"""What a fit minimises: the summed Gaussian or Huber loss of residuals of y or of ln y.

Legend: B problems, S observations. Every loss is minimised through weighted least squares: `working` gives the targets
and weights at which a least-squares step is a step of the loss. Huber's weights majorise it, so that no step raises it;
ln y is linearised at the current fit (Gauss-Newton), so that its fixed point is the loss's own.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from recscale.curves.laws import Array
from recscale.errors import ConfigError


class LossKind(StrEnum):
    """How residuals count."""

    GAUSSIAN = "gaussian"
    """r^2 / 2: normal noise."""
    HUBER = "huber"
    """r^2 / 2 up to delta, delta * (|r| - delta / 2) beyond: outliers count little."""


class Space(StrEnum):
    """Of what residuals are taken."""

    LINEAR = "linear"
    """y - law."""
    LOG = "log"
    """ln y - ln law: relative errors."""


@dataclass(frozen=True)
class Loss:
    """A summed loss."""

    kind: LossKind = LossKind.GAUSSIAN
    """gaussian | huber."""
    delta: float = 1e-3
    """Where Huber's loss turns linear, in the residuals' unit; a Gaussian loss has no use for it."""
    space: Space = Space.LINEAR
    """linear | log."""

    def __post_init__(self) -> None:
        if not self.delta > 0:
            raise ConfigError(f"Huber's delta is {self.delta:g}, expected above 0, in the unit of the residuals")

    def residual(self, y: Array, fitted: Array) -> Array:
        """Residuals; infinite where the law is not positive but its logarithm is needed."""
        if self.space is Space.LINEAR:
            return y - fitted
        return np.log(y / np.where(fitted > 0, fitted, np.finfo(np.float64).tiny))

    def total(self, y: Array, fitted: Array, weights: Array) -> Array:
        """The summed loss of every problem [B]."""
        residual = self.residual(y, fitted)
        size = np.abs(residual)
        loss = 0.5 * residual**2
        if self.kind is LossKind.HUBER:
            loss = np.where(size <= self.delta, loss, self.delta * (size - 0.5 * self.delta))
        return np.asarray((weights * loss).sum(axis=-1))

    def start(self, y: Array, weights: Array) -> tuple[Array, Array]:
        """Targets and root weights before there is a fit."""
        root = np.sqrt(weights)
        return y, root if self.space is Space.LINEAR else root / y

    def working(self, y: Array, fitted: Array, weights: Array) -> tuple[Array, Array]:
        """Targets and root weights of the least-squares step at a fit."""
        residual = self.residual(y, fitted)
        root = np.sqrt(weights)
        if self.kind is LossKind.HUBER:
            root = root * np.sqrt(self.delta / np.maximum(np.abs(residual), self.delta))
        if self.space is Space.LINEAR:
            return y, root
        return fitted * (1 + residual), root / fitted


GAUSSIAN = Loss()
"""Half the sum of squared residuals."""
