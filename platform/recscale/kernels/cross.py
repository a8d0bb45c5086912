"""What a cross layer of one set does beside its matrix product, in one pass over memory each way.

Legend: B batch rows, I inputs, P pieces of the rows.
"""
# ruff: noqa: N815

from typing import NamedTuple

import numpy as np
from numba import njit

from recscale.kernels.threads import Given, piece, share, spread, team

Array = np.ndarray


class Layer(NamedTuple):
    """What both passes read."""

    given_BI: Array
    """Its input x forward, the gradient of its output backward."""
    x0_BI: Array
    """Input of the first layer."""
    product_BI: Array
    """x W."""
    bias_I: Array
    """Added to the product."""


def forward(layer: Layer, y_BI: Array) -> None:
    """Writes x0 * (product + bias) + x."""
    _forward(*team(), len(y_BI), (*layer, y_BI))


def backward(layer: Layer, grad_x0_BI: Array, first_time: bool) -> tuple[Array, Array]:
    """Gradients of the product and the bias; x0's is added to `grad_x0_BI`, or written there the first time."""
    start, threads = team()
    pieces = min(threads, len(layer.given_BI))
    grad_product_BI = np.empty_like(layer.given_BI)
    grad_bias_PI = np.zeros((pieces, len(layer.bias_I)))  # in float64: as many numbers are added as a batch has rows
    _backward(start, threads, pieces, (*layer, grad_product_BI, grad_x0_BI, grad_bias_PI, first_time))
    return grad_product_BI, grad_bias_PI.sum(0).astype(np.float32)


@njit(cache=True, nogil=True)
def _forward(start: int, threads: int, rows: int, given: Given) -> None:
    spread(start, threads, rows, _forward_rows, given)


@njit(cache=True, nogil=True)
def _backward(start: int, threads: int, pieces: int, given: Given) -> None:
    spread(start, threads, pieces, _backward_pieces, given)


@piece
def _forward_rows(
    x_BI: Array, x0_BI: Array, product_BI: Array, bias_I: Array, y_BI: Array, first: int, last: int
) -> None:
    for b in range(first, last):
        x0_I, x_I, product_I, y_I = x0_BI[b], x_BI[b], product_BI[b], y_BI[b]
        for i in range(len(y_I)):
            y_I[i] = x0_I[i] * (product_I[i] + bias_I[i]) + x_I[i]


@piece
def _backward_pieces(
    grad_BI: Array,
    x0_BI: Array,
    product_BI: Array,
    bias_I: Array,
    grad_product_BI: Array,
    grad_x0_BI: Array,
    grad_bias_PI: Array,
    first_time: bool,
    first: int,
    last: int,
) -> None:
    for number in range(first, last):
        grad_bias_I = grad_bias_PI[number]
        for b in range(*share(len(grad_BI), number, len(grad_bias_PI))):
            grad_I, x0_I, product_I = grad_BI[b], x0_BI[b], product_BI[b]
            grad_product_I, grad_x0_I = grad_product_BI[b], grad_x0_BI[b]
            for i in range(len(grad_I)):
                grad_product_I[i] = grad_I[i] * x0_I[i]
            for i in range(len(grad_I)):
                grad_bias_I[i] += grad_product_I[i]
            if first_time:
                for i in range(len(grad_I)):
                    grad_x0_I[i] = grad_I[i] * (product_I[i] + bias_I[i])
            else:
                for i in range(len(grad_I)):
                    grad_x0_I[i] += grad_I[i] * (product_I[i] + bias_I[i])
