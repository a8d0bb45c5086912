"""What a cross layer does beside its matrix product, in one pass over memory each way.

Legend: M embedding sets, B batch rows, R = M*B, I inputs.
"""
# ruff: noqa: N815

from typing import NamedTuple

import numpy as np
from numba import njit

from recscale.kernels.threads import spread

Array = np.ndarray


class Layer(NamedTuple):
    """What both passes read."""

    given_MBI: Array
    """Its input x forward, the gradient of its output backward."""
    x0_MBI: Array
    """Input of the first layer."""
    product_MBI: Array
    """x W."""
    bias_MI: Array
    """Added to the product."""

    def by_row(self) -> tuple[Array, Array, Array, Array, int]:
        """As the loops take it: arrays [R, I], the bias, and how many rows each set has."""
        rows = self.given_MBI.shape[1]
        return (_rows(self.given_MBI), _rows(self.x0_MBI), _rows(self.product_MBI), self.bias_MI, rows)


def forward(layer: Layer) -> Array:
    """x0 * (product + bias) + x."""
    y_MBI = np.empty_like(layer.given_MBI)
    y_RI = _rows(y_MBI)
    spread(lambda first, last: _forward(*layer.by_row(), y_RI, first, last), len(y_RI))
    return y_MBI


def backward(layer: Layer, grad_x0_MBI: Array, first_time: bool) -> Array:
    """Gradient of the product; that of x0 is added to `grad_x0_MBI`, or written there the first time."""
    grad_product_MBI = np.empty_like(layer.given_MBI)
    written = (_rows(grad_product_MBI), _rows(grad_x0_MBI))
    spread(lambda first, last: _backward(*layer.by_row(), *written, first_time, first, last), len(written[0]))
    return grad_product_MBI


def _rows(array_MBI: Array) -> Array:
    """View [R, I]."""
    return array_MBI.reshape(-1, array_MBI.shape[2])


@njit(cache=True, nogil=True, error_model="numpy")
def _forward(
    x_RI: Array, x0_RI: Array, product_RI: Array, bias_MI: Array, rows: int, y_RI: Array, first: int, last: int
) -> None:
    for r in range(first, last):
        x0_I, x_I, product_I, bias_I, y_I = x0_RI[r], x_RI[r], product_RI[r], bias_MI[r // rows], y_RI[r]
        for i in range(len(y_I)):
            y_I[i] = x0_I[i] * (product_I[i] + bias_I[i]) + x_I[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _backward(
    grad_RI: Array,
    x0_RI: Array,
    product_RI: Array,
    bias_MI: Array,
    rows: int,
    grad_product_RI: Array,
    grad_x0_RI: Array,
    first_time: bool,
    first: int,
    last: int,
) -> None:
    for r in range(first, last):
        grad_I, x0_I, product_I, bias_I = grad_RI[r], x0_RI[r], product_RI[r], bias_MI[r // rows]
        grad_product_I, grad_x0_I = grad_product_RI[r], grad_x0_RI[r]
        for i in range(len(grad_I)):
            grad_product_I[i] = grad_I[i] * x0_I[i]
        if first_time:
            for i in range(len(grad_I)):
                grad_x0_I[i] = grad_I[i] * (product_I[i] + bias_I[i])
        else:
            for i in range(len(grad_I)):
                grad_x0_I[i] += grad_I[i] * (product_I[i] + bias_I[i])
