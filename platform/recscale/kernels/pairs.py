"""Weighted products of all pairs of fields, a block of columns at a time, which fits the cache.

y_i = sum_j s_ij e_j with s = r + r^T; h = sum_i e_i y_i / 2 = sum_ij r_ij e_i e_j. The gradient of h with respect to
e_i is y_i, and with respect to r_ij it is e_i e_j, which is symmetric: half of it is computed.

Legend: M embedding sets, B batch, N fields, F of them padded to whole fours, K embedding dimension per set, C = B*K
columns, P pieces of the blocks.
"""

from collections.abc import Iterator

import numpy as np
from numba import njit

from recscale.kernels.blocks import take, zero_block
from recscale.kernels.threads import Given, piece, share, spread, team
from recscale.kernels.tiles import Four, plus_products, sums_of_products, weights, zeros
from recscale.kernels.vectors import LANES, load, plus_product, product, store

Array = np.ndarray

COLUMNS = 256
"""Of a block; whole pairs of vectors."""
MORE = 2
"""Rows of zeros after whole fours of fields: the last three are taken from any field on."""


def forward(s_MNN: Array, emb_MBNK: Array) -> Array:
    """h [M, B, K]."""
    sets, rows, _, dim = emb_MBNK.shape
    h_MC = np.empty((sets, rows * dim), np.float32)
    _forward(*team(), sets * _blocks(rows, dim), (_padded(s_MNN), emb_MBNK, h_MC))
    return h_MC.reshape(sets, rows, dim)


def backward(s_MNN: Array, emb_MBNK: Array, grad_MBK: Array) -> tuple[Array, Array]:
    """Gradients of the weights, [M, N, N], and of the embeddings."""
    sets, rows, fields, dim = emb_MBNK.shape
    start, threads = team()
    pieces = min(threads, sets * _blocks(rows, dim))
    s_MNF, grad_MC, grad_emb_MBNK = _padded(s_MNN), grad_MBK.reshape(sets, rows * dim), np.empty_like(emb_MBNK)
    grad_PMFF = np.zeros((pieces, sets, s_MNF.shape[2], fields + MORE), np.float32)
    _backward(start, threads, pieces, (s_MNF, emb_MBNK, grad_MC, grad_PMFF, grad_emb_MBNK))
    upper_MNN = np.triu(grad_PMFF.sum(0)[:, :fields, :fields])
    return upper_MNN + np.triu(upper_MNN, 1).swapaxes(1, 2), grad_emb_MBNK


def _padded(s_MNN: Array) -> Array:
    """[M, N, F]."""
    return np.ascontiguousarray(np.pad(s_MNN, ((0, 0), (0, 0), (0, -s_MNN.shape[2] % 4))))


@njit(cache=True, nogil=True)
def _blocks(rows: int, dim: int) -> int:
    """Of a set."""
    return -(-rows * dim // COLUMNS)


@njit(cache=True, nogil=True)
def _forward(start: int, threads: int, blocks: int, given: Given) -> None:
    spread(start, threads, blocks, _forward_blocks, given)


@njit(cache=True, nogil=True)
def _backward(start: int, threads: int, pieces: int, given: Given) -> None:
    spread(start, threads, pieces, _backward_pieces, given)


@piece
def _forward_blocks(s_MNF: Array, emb_MBNK: Array, h_MC: Array, first: int, last: int) -> None:
    _, rows, _, dim = emb_MBNK.shape
    fours, blocks = s_MNF.shape[2], _blocks(rows, dim)
    e, h = zero_block(fours, COLUMNS), zero_block(1, COLUMNS)
    for block in range(first, last):
        m, start = block // blocks, block % blocks * COLUMNS
        _take(emb_MBNK[m], start, e)
        h[:] = 0
        for i in range(0, fours, 4):
            for c in range(0, COLUMNS, 2 * LANES):
                y0, y1 = _partners(s_MNF, m, i, e, c)
                h0, h1 = load(h, (0, c)), load(h, (0, c + LANES))
                for f in range(4):
                    h0 = plus_product(h0, y0[f], load(e, (i + f, c)))
                    h1 = plus_product(h1, y1[f], load(e, (i + f, c + LANES)))
                store(h, (0, c), h0)
                store(h, (0, c + LANES), h1)
        for c in range(min(COLUMNS, h_MC.shape[1] - start)):
            h_MC[m, start + c] = h[0, c] * np.float32(0.5)


@piece
def _backward_pieces(
    s_MNF: Array, emb_MBNK: Array, grad_MC: Array, grad_PMFF: Array, grad_emb_MBNK: Array, first: int, last: int
) -> None:
    _, rows, fields, dim = emb_MBNK.shape
    fours, blocks = s_MNF.shape[2], _blocks(rows, dim)
    e, grad = zero_block(fours + MORE, COLUMNS), zero_block(1, COLUMNS)
    grad_e, pushed = zero_block(fours, COLUMNS), zero_block(4, COLUMNS)
    for number in range(first, last):
        for block in range(*share(len(emb_MBNK) * blocks, number, len(grad_PMFF))):
            m, start = block // blocks, block % blocks * COLUMNS
            _take(emb_MBNK[m], start, e)
            take(grad_MC[m : m + 1], start, COLUMNS, grad)
            for i in range(0, fours, 4):
                for c in range(0, COLUMNS, 2 * LANES):
                    y0, y1 = _partners(s_MNF, m, i, e, c)
                    grad0, grad1 = load(grad, (0, c)), load(grad, (0, c + LANES))
                    for f in range(4):
                        store(grad_e, (i + f, c), product(grad0, y0[f]))
                        store(grad_e, (i + f, c + LANES), product(grad1, y1[f]))
                        store(pushed, (f, c), product(grad0, load(e, (i + f, c))))
                        store(pushed, (f, c + LANES), product(grad1, load(e, (i + f, c + LANES))))
                for j in range(i, fields, 3):
                    sums = sums_of_products(pushed, 0, e, j, COLUMNS)
                    for k in range(4):
                        for f in range(3):
                            grad_PMFF[number, m, i + k, j + f] += sums[k][f]
            _give(grad_e, grad_emb_MBNK[m], start)


@njit(inline="always")
def _partners(s_MNF: Array, m: int, i: int, e: Array, c: int) -> tuple[Four, Four]:
    """y of four fields from i on, in two vectors of columns from c on."""
    y0, y1 = zeros(), zeros()
    for j in range(s_MNF.shape[1]):
        s = weights(s_MNF, (m, j, i), (m, j, i + 1), (m, j, i + 2), (m, j, i + 3))
        y0 = plus_products(y0, s, load(e, (j, c)))
        y1 = plus_products(y1, s, load(e, (j, c + LANES)))
    return y0, y1


@njit(cache=True, nogil=True, error_model="numpy")
def _take(emb_BNK: Array, start: int, block_FC: Array) -> None:
    """Columns from `start` on; zero where there are no more."""
    rows, fields, dim = emb_BNK.shape
    block_FC[:, rows * dim - start :] = 0
    for b, k, to, run in _runs(rows, dim, start):
        for n in range(fields):
            given, taken = emb_BNK[b, n, k : k + run], block_FC[n, to : to + run]
            for r in range(run):
                taken[r] = given[r]


@njit(cache=True, nogil=True, error_model="numpy")
def _give(block_FC: Array, emb_BNK: Array, start: int) -> None:
    """Columns from `start` on, as far as there are some."""
    rows, fields, dim = emb_BNK.shape
    for b, k, to, run in _runs(rows, dim, start):
        for n in range(fields):
            given, taken = block_FC[n, to : to + run], emb_BNK[b, n, k : k + run]
            for r in range(run):
                taken[r] = given[r]


@njit(cache=True, nogil=True, error_model="numpy")
def _runs(rows: int, dim: int, start: int) -> Iterator[tuple[int, int, int, int]]:
    """Columns of a block that are next to each other in memory: sample, first dimension, place in the block, length."""
    stop = min(COLUMNS, rows * dim - start)
    to = 0
    while to < stop:
        b, k = (start + to) // dim, (start + to) % dim
        run = min(dim - k, stop - to)
        yield b, k, to, run
        to += run
