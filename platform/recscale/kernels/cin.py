"""A CIN layer of xDeepFM without its outer product in memory: a block of columns at a time, which fits the cache.

y_q = sum over n and j of w_qnj e_n x_j. Eight maps j at a time lie in registers; widths are padded to whole eights.

Legend: M embedding sets, N fields, J feature maps of a layer and Q of the next, C columns (batch x dimension).
"""
# ruff: noqa: N815

from typing import NamedTuple

import numpy as np
from numba import njit

from recscale.kernels.blocks import FAST, zero_block
from recscale.kernels.threads import spread

Array = np.ndarray

COLUMNS = 512
"""Of a block; a constant, so that the compiler knows that rows of a block do not overlap."""
EIGHT = 8
ZEROS = (np.float32(0),) * EIGHT


class Layer(NamedTuple):
    """What both passes read."""

    w_MQNJ: Array
    """Weights; Q and J whole eights, zero in what is padded and before `first_N`."""
    x_MJC: Array
    """Maps of the layer before; its J is not padded."""
    emb_MNC: Array
    """Embeddings."""
    first_N: Array
    """Map from which on a field's weights are not zero, int64, rounded down to a whole eight."""


def forward(layer: Layer, maps: int) -> Array:
    """The next layer's maps [M, maps, C]."""
    y_MQC = np.empty((len(layer.x_MJC), maps, layer.x_MJC.shape[2]), np.float32)
    spread(lambda first, last: _forward(*layer, y_MQC, first, last), _blocks(layer))
    return y_MQC


def backward(layer: Layer, grad_MQC: Array) -> tuple[Array, Array, Array]:
    """Gradients of the weights (anything where they are zero), of `x_MJC` and of `emb_MNC`."""
    grad_x_MJC, grad_emb_MNC = np.empty_like(layer.x_MJC), np.empty_like(layer.emb_MNC)

    def part(first: int, last: int) -> Array:
        grad_w_MQNJ = np.zeros_like(layer.w_MQNJ)
        _backward(*layer, grad_MQC, grad_w_MQNJ, grad_x_MJC, grad_emb_MNC, first, last)
        return grad_w_MQNJ

    first, *rest = spread(part, _blocks(layer))
    return sum(rest, first), grad_x_MJC, grad_emb_MNC


def _blocks(layer: Layer) -> int:
    sets, _, columns = layer.x_MJC.shape
    return int(sets * -(-columns // COLUMNS))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _forward(w_MQNJ: Array, x_MJC: Array, emb_MNC: Array, first_N: Array, y_MQC: Array, first: int, last: int) -> None:
    _, maps, fields, before = w_MQNJ.shape
    x, e = zero_block(before, COLUMNS), zero_block(fields, COLUMNS)
    y = zero_block(maps, COLUMNS)
    per_set = -(-x_MJC.shape[2] // COLUMNS)
    for block in range(first, last):
        m, start = block // per_set, block % per_set * COLUMNS
        w_QNJ = w_MQNJ[m]
        _take(x_MJC[m], start, x)
        _take(emb_MNC[m], start, e)
        y[:] = 0
        for n in range(fields):
            for j in range(first_N[n], before, EIGHT):
                for q in range(0, maps, 2):
                    w0, w1 = _row(w_QNJ, q, n, j), _row(w_QNJ, q + 1, n, j)
                    for c in range(COLUMNS):
                        x8, field = _column(x, j, c), e[n, c]
                        y[q, c] += field * _dot(w0, x8)
                        y[q + 1, c] += field * _dot(w1, x8)
        _give(y, y_MQC[m], start)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _backward(
    w_MQNJ: Array,
    x_MJC: Array,
    emb_MNC: Array,
    first_N: Array,
    grad_MQC: Array,
    grad_w_MQNJ: Array,
    grad_x_MJC: Array,
    grad_emb_MNC: Array,
    first: int,
    last: int,
) -> None:
    _, maps, fields, before = w_MQNJ.shape
    x, grad_x = zero_block(before, COLUMNS), zero_block(before, COLUMNS)
    e, grad_e = zero_block(fields, COLUMNS), zero_block(fields, COLUMNS)
    grad, grad_field = zero_block(maps, COLUMNS), zero_block(maps, COLUMNS)
    per_set = -(-x_MJC.shape[2] // COLUMNS)
    for block in range(first, last):
        m, start = block // per_set, block % per_set * COLUMNS
        w_QNJ, grad_w_QNJ = w_MQNJ[m], grad_w_MQNJ[m]
        _take(x_MJC[m], start, x)
        _take(emb_MNC[m], start, e)
        _take(grad_MQC[m], start, grad)
        grad_x[:] = 0
        grad_e[:] = 0
        for n in range(fields):
            for j in range(first_N[n], before, 2):
                for q in range(0, maps, EIGHT):
                    w0, w1 = _maps(w_QNJ, q, n, j), _maps(w_QNJ, q, n, j + 1)
                    for c in range(COLUMNS):
                        g8, field = _column(grad, q, c), e[n, c]
                        g0, g1 = _dot(w0, g8), _dot(w1, g8)
                        grad_x[j, c] += field * g0
                        grad_x[j + 1, c] += field * g1
                        grad_e[n, c] += g0 * x[j, c] + g1 * x[j + 1, c]
            for q in range(maps):
                for c in range(COLUMNS):
                    grad_field[q, c] = grad[q, c] * e[n, c]
            for j in range(first_N[n], before, EIGHT):
                for q in range(0, maps, 2):
                    sum0 = sum1 = ZEROS
                    for c in range(COLUMNS):
                        x8 = _column(x, j, c)
                        sum0, sum1 = _plus(sum0, grad_field[q, c], x8), _plus(sum1, grad_field[q + 1, c], x8)
                    _add(grad_w_QNJ[q, n], j, sum0)
                    _add(grad_w_QNJ[q + 1, n], j, sum1)
        _give(grad_x, grad_x_MJC[m], start)
        _give(grad_e, grad_emb_MNC[m], start)


@njit(inline="always")
def _row(w_QNJ: Array, q: int, n: int, j: int) -> tuple[float, ...]:
    """Weights of eight maps j."""
    w = w_QNJ[q, n]
    return w[j], w[j + 1], w[j + 2], w[j + 3], w[j + 4], w[j + 5], w[j + 6], w[j + 7]


@njit(inline="always")
def _maps(w_QNJ: Array, q: int, n: int, j: int) -> tuple[float, ...]:
    """Weights of eight maps q."""
    w = w_QNJ[:, n, j]
    return w[q], w[q + 1], w[q + 2], w[q + 3], w[q + 4], w[q + 5], w[q + 6], w[q + 7]


@njit(inline="always")
def _column(x: Array, j: int, c: int) -> tuple[float, ...]:
    """One column of eight rows."""
    return x[j, c], x[j + 1, c], x[j + 2, c], x[j + 3, c], x[j + 4, c], x[j + 5, c], x[j + 6, c], x[j + 7, c]


@njit(inline="always")
def _dot(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3] + a[4] * b[4] + a[5] * b[5] + a[6] * b[6] + a[7] * b[7]


@njit(inline="always")
def _plus(total: tuple[float, ...], by: float, x: tuple[float, ...]) -> tuple[float, ...]:
    """total + by * x."""
    return (
        total[0] + by * x[0],
        total[1] + by * x[1],
        total[2] + by * x[2],
        total[3] + by * x[3],
        total[4] + by * x[4],
        total[5] + by * x[5],
        total[6] + by * x[6],
        total[7] + by * x[7],
    )


@njit(inline="always")
def _add(w_J: Array, j: int, by: tuple[float, ...]) -> None:
    for i in range(EIGHT):
        w_J[j + i] += by[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _take(from_RC: Array, start: int, to: Array) -> None:
    """Copies a block of columns; what is beyond the rows stays, what is beyond the columns is zero."""
    columns = min(COLUMNS, from_RC.shape[1] - start)
    for r in range(len(from_RC)):
        for c in range(columns):
            to[r, c] = from_RC[r, start + c]
        for c in range(columns, COLUMNS):
            to[r, c] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def _give(block: Array, to_RC: Array, start: int) -> None:
    """Copies a block of columns back, without what was padded."""
    for r in range(len(to_RC)):
        for c in range(min(COLUMNS, to_RC.shape[1] - start)):
            to_RC[r, start + c] = block[r, c]
