"""Weighted products of all pairs of fields, a block of columns at a time, which fits the cache.

y_i = sum_j s_ij e_j with s = r + r^T; h = sum_i e_i y_i / 2 = sum_ij r_ij e_i e_j. The gradient of h with respect to
e_i is y_i, and with respect to r_ij it is e_i e_j, which is symmetric: half of it is computed.

Legend: M embedding sets, B batch, N fields, F of them padded to whole fours, K embedding dimension per set, C = B*K
columns, D blocks of them.
"""
# ruff: noqa: N815

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numba import njit

from recscale.kernels.blocks import FAST, zero_block
from recscale.kernels.threads import spread

Array = np.ndarray

COLUMNS = 128
"""Of a block; a constant, so that the compiler knows that rows of a block do not overlap."""


class Saved(NamedTuple):
    """What the backward pass reads."""

    emb_MBNK: Array
    """Embeddings."""
    y_MDFC: Array
    """y, by blocks."""


def forward(s_MNN: Array, emb_MBNK: Array) -> tuple[Array, Saved]:
    """h [M, B, K]."""
    sets, rows, fields, dim = emb_MBNK.shape
    blocks, more = -(-rows * dim // COLUMNS), -fields % 4
    s_MFF = np.pad(s_MNN, ((0, 0), (0, more), (0, more)))
    saved = Saved(emb_MBNK, np.empty((sets, blocks, fields + more, COLUMNS), np.float32))
    h_MC = np.empty((sets, rows * dim), np.float32)
    spread(lambda first, last: _forward(s_MFF, *saved, h_MC, first, last), sets * blocks)
    return h_MC.reshape(sets, rows, dim), saved


def backward(saved: Saved, grad_MBK: Array) -> tuple[Array, Array]:
    """Gradients of the weights, [M, N, N], and of the embeddings."""
    sets, blocks, fours, _ = saved.y_MDFC.shape
    grad_MC, grad_emb_MBNK = grad_MBK.reshape(sets, -1), np.empty_like(saved.emb_MBNK)

    def part(first: int, last: int) -> Array:
        grad_MFF = np.zeros((sets, fours, fours), np.float32)
        _backward(*saved, grad_MC, grad_MFF, grad_emb_MBNK, first, last)
        return grad_MFF

    first, *rest = spread(part, sets * blocks)
    fields = saved.emb_MBNK.shape[2]
    upper_MNN = np.triu(sum(rest, first)[:, :fields, :fields])
    return upper_MNN + np.triu(upper_MNN, 1).swapaxes(1, 2), grad_emb_MBNK


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _forward(s_MFF: Array, emb_MBNK: Array, y_MDFC: Array, h_MC: Array, first: int, last: int) -> None:
    _, blocks, fours, _ = y_MDFC.shape
    e, h = zero_block(fours, COLUMNS), zero_block(1, COLUMNS)[0]
    y0, y1 = zero_block(1, COLUMNS)[0], zero_block(1, COLUMNS)[0]
    for block in range(first, last):
        m, d = block // blocks, block % blocks
        _take(emb_MBNK[m], d * COLUMNS, e)
        h[:] = 0
        for i in range(0, fours, 2):
            y0[:] = 0
            y1[:] = 0
            for j in range(0, fours, 4):
                a0, a1, a2, a3 = s_MFF[m, i, j], s_MFF[m, i, j + 1], s_MFF[m, i, j + 2], s_MFF[m, i, j + 3]
                b0, b1, b2, b3 = (
                    s_MFF[m, i + 1, j],
                    s_MFF[m, i + 1, j + 1],
                    s_MFF[m, i + 1, j + 2],
                    s_MFF[m, i + 1, j + 3],
                )
                for c in range(COLUMNS):
                    e0, e1, e2, e3 = e[j, c], e[j + 1, c], e[j + 2, c], e[j + 3, c]
                    y0[c] += a0 * e0 + a1 * e1 + a2 * e2 + a3 * e3
                    y1[c] += b0 * e0 + b1 * e1 + b2 * e2 + b3 * e3
            for c in range(COLUMNS):
                h[c] += e[i, c] * y0[c] + e[i + 1, c] * y1[c]
            y_MDFC[m, d, i] = y0
            y_MDFC[m, d, i + 1] = y1
        start = d * COLUMNS
        for c in range(min(COLUMNS, h_MC.shape[1] - start)):
            h_MC[m, start + c] = h[c] * np.float32(0.5)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _backward(
    emb_MBNK: Array, y_MDFC: Array, grad_MC: Array, grad_MFF: Array, grad_emb_MBNK: Array, first: int, last: int
) -> None:
    _, blocks, fours, _ = y_MDFC.shape
    e, grad_e = zero_block(fours, COLUMNS), zero_block(fours, COLUMNS)
    grad, pushed = zero_block(1, COLUMNS)[0], zero_block(1, COLUMNS)[0]
    for block in range(first, last):
        m, d = block // blocks, block % blocks
        start = d * COLUMNS
        _take(emb_MBNK[m], start, e)
        grad[:] = 0
        for c in range(min(COLUMNS, grad_MC.shape[1] - start)):
            grad[c] = grad_MC[m, start + c]
        for i in range(fours):
            for c in range(COLUMNS):
                grad_e[i, c] = grad[c] * y_MDFC[m, d, i, c]
                pushed[c] = grad[c] * e[i, c]
            for j in range(i // 4 * 4, fours, 4):
                g0 = g1 = g2 = g3 = np.float32(0)
                for c in range(COLUMNS):
                    g0 += pushed[c] * e[j, c]
                    g1 += pushed[c] * e[j + 1, c]
                    g2 += pushed[c] * e[j + 2, c]
                    g3 += pushed[c] * e[j + 3, c]
                grad_MFF[m, i, j] += g0
                grad_MFF[m, i, j + 1] += g1
                grad_MFF[m, i, j + 2] += g2
                grad_MFF[m, i, j + 3] += g3
        _give(grad_e, grad_emb_MBNK[m], start)


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
