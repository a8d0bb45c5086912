"""A CIN layer of xDeepFM without its outer product in memory: a block of columns at a time, which fits the cache.

y_q = sum over n and j of w_qnj e_n x_j. Sums stay in registers, of four maps and two vectors of columns at once.

Legend: M embedding sets, N fields, J feature maps of a layer and Q of the next, C columns (batch x dimension),
P pieces of the blocks.
"""
# ruff: noqa: N815

from typing import NamedTuple

import numpy as np
from numba import njit

from recscale.kernels.blocks import give, take, zero_block
from recscale.kernels.threads import Given, piece, share, spread, team
from recscale.kernels.tiles import plus_products, sums_of_products, weights, zeros
from recscale.kernels.vectors import LANES, load, plus_product, product, store

Array = np.ndarray

COLUMNS = 256
"""Of a block; whole pairs of vectors."""
MORE = 3
"""Rows of zeros after the last map j: maps are taken up to four at once, from any on."""


class Layer(NamedTuple):
    """What both passes read."""

    w_MQNJ: Array
    """Weights; zero before `first_N`."""
    x_MJC: Array
    """Maps of the layer before."""
    emb_MNC: Array
    """Embeddings."""
    first_N: Array
    """Map j from which on a field's weights are not zero, int64."""


def forward(layer: Layer) -> Array:
    """The next layer's maps [M, Q, C]."""
    sets, maps = layer.w_MQNJ.shape[:2]
    y_MQC = np.empty((sets, maps, layer.x_MJC.shape[2]), np.float32)
    _forward(*team(), _blocks(layer), (_packed(layer.w_MQNJ), *layer[1:], y_MQC))
    return y_MQC


def backward(layer: Layer, grad_MQC: Array) -> tuple[Array, Array, Array]:
    """Gradients of the weights (zero before `first_N`), of `x_MJC` and of `emb_MNC`."""
    start, threads = team()
    pieces = min(threads, _blocks(layer))
    w_MNJQ, grad_x_MJC, grad_emb_MNC = _packed(layer.w_MQNJ), np.empty_like(layer.x_MJC), np.empty_like(layer.emb_MNC)
    grad_w_PMNJQ = np.zeros((pieces, *w_MNJQ.shape), np.float32)
    _backward(start, threads, pieces, (w_MNJQ, *layer[1:], grad_MQC, grad_w_PMNJQ, grad_x_MJC, grad_emb_MNC))
    maps, before = layer.w_MQNJ.shape[1], layer.w_MQNJ.shape[3]
    return grad_w_PMNJQ.sum(0)[:, :, :before, :maps].transpose(0, 3, 1, 2), grad_x_MJC, grad_emb_MNC


def _packed(w_MQNJ: Array) -> Array:
    """As the kernels read them: [M, N, J and `MORE`, Q in whole fours]."""
    more = ((0, 0), (0, 0), (0, MORE), (0, -w_MQNJ.shape[1] % 4))
    return np.ascontiguousarray(np.pad(w_MQNJ.transpose(0, 2, 3, 1), more))


def _blocks(layer: Layer) -> int:
    sets, _, columns = layer.x_MJC.shape
    return int(sets * -(-columns // COLUMNS))


@njit(cache=True, nogil=True)
def _forward(start: int, threads: int, blocks: int, given: Given) -> None:
    spread(start, threads, blocks, _forward_blocks, given)


@njit(cache=True, nogil=True)
def _backward(start: int, threads: int, pieces: int, given: Given) -> None:
    spread(start, threads, pieces, _backward_pieces, given)


@piece
def _forward_blocks(
    w_MNJQ: Array, x_MJC: Array, emb_MNC: Array, first_N: Array, y_MQC: Array, first: int, last: int
) -> None:
    _, fields, more, maps = w_MNJQ.shape
    before = more - MORE
    x, e, y = zero_block(before, COLUMNS), zero_block(fields, COLUMNS), zero_block(maps, COLUMNS)
    per_set = -(-x_MJC.shape[2] // COLUMNS)
    for block in range(first, last):
        m, start = block // per_set, block % per_set * COLUMNS
        take(x_MJC[m], start, COLUMNS, x)
        take(emb_MNC[m], start, COLUMNS, e)
        for q in range(0, maps, 4):
            for c in range(0, COLUMNS, 2 * LANES):
                y0, y1 = zeros(), zeros()
                for n in range(fields):
                    mixed0, mixed1 = zeros(), zeros()
                    for j in range(first_N[n], before):
                        w = weights(w_MNJQ, (m, n, j, q), (m, n, j, q + 1), (m, n, j, q + 2), (m, n, j, q + 3))
                        mixed0 = plus_products(mixed0, w, load(x, (j, c)))
                        mixed1 = plus_products(mixed1, w, load(x, (j, c + LANES)))
                    y0 = plus_products(y0, mixed0, load(e, (n, c)))
                    y1 = plus_products(y1, mixed1, load(e, (n, c + LANES)))
                for i in range(4):
                    store(y, (q + i, c), y0[i])
                    store(y, (q + i, c + LANES), y1[i])
        give(y, start, COLUMNS, y_MQC[m])


@piece
def _backward_pieces(
    w_MNJQ: Array,
    x_MJC: Array,
    emb_MNC: Array,
    first_N: Array,
    grad_MQC: Array,
    grad_w_PMNJQ: Array,
    grad_x_MJC: Array,
    grad_emb_MNC: Array,
    first: int,
    last: int,
) -> None:
    _, fields, more, maps = w_MNJQ.shape
    x, grad_x = zero_block(more, COLUMNS), zero_block(more, COLUMNS)
    e, grad_e = zero_block(fields, COLUMNS), zero_block(fields, COLUMNS)
    grad, grad_field = zero_block(maps, COLUMNS), zero_block(maps, COLUMNS)
    per_set = -(-x_MJC.shape[2] // COLUMNS)
    for number in range(first, last):
        for block in range(*share(len(x_MJC) * per_set, number, len(grad_w_PMNJQ))):
            m, start = block // per_set, block % per_set * COLUMNS
            take(x_MJC[m], start, COLUMNS, x)
            take(emb_MNC[m], start, COLUMNS, e)
            take(grad_MQC[m], start, COLUMNS, grad)
            grad_x[:] = 0
            grad_e[:] = 0
            for n in range(fields):
                for j in range(first_N[n], more - MORE, 4):
                    _add_inputs(w_MNJQ, m, n, j, grad, x, e, grad_x, grad_e)
                for q in range(maps):
                    for c in range(0, COLUMNS, LANES):
                        store(grad_field, (q, c), product(load(grad, (q, c)), load(e, (n, c))))
                for j in range(first_N[n], more - MORE, 3):
                    for q in range(0, maps, 4):
                        sums = sums_of_products(grad_field, q, x, j, COLUMNS)
                        for i in range(3):
                            for k in range(4):
                                grad_w_PMNJQ[number, m, n, j + i, q + k] += sums[k][i]
            give(grad_x, start, COLUMNS, grad_x_MJC[m])
            give(grad_e, start, COLUMNS, grad_emb_MNC[m])


@njit(inline="always")
def _add_inputs(
    w_MNJQ: Array, m: int, n: int, j: int, grad: Array, x: Array, e: Array, grad_x: Array, grad_e: Array
) -> None:
    """What four maps from j on and a field pass back to each other."""
    for c in range(0, COLUMNS, 2 * LANES):
        mixed0, mixed1 = zeros(), zeros()
        for q in range(w_MNJQ.shape[3]):
            w = weights(w_MNJQ, (m, n, j, q), (m, n, j + 1, q), (m, n, j + 2, q), (m, n, j + 3, q))
            mixed0 = plus_products(mixed0, w, load(grad, (q, c)))
            mixed1 = plus_products(mixed1, w, load(grad, (q, c + LANES)))
        field0, field1 = load(grad_e, (n, c)), load(grad_e, (n, c + LANES))
        for i in range(4):
            field0 = plus_product(field0, mixed0[i], load(x, (j + i, c)))
            field1 = plus_product(field1, mixed1[i], load(x, (j + i, c + LANES)))
            map0, map1 = load(grad_x, (j + i, c)), load(grad_x, (j + i, c + LANES))
            store(grad_x, (j + i, c), plus_product(map0, mixed0[i], load(e, (n, c))))
            store(grad_x, (j + i, c + LANES), plus_product(map1, mixed1[i], load(e, (n, c + LANES))))
        store(grad_e, (n, c), field0)
        store(grad_e, (n, c + LANES), field1)
