"""Inner products of all pairs of fields, a row at a time in the nearest cache; half of its Gram matrix is what is kept.

The gradient of e_i is the sum over j of that of <e_i, e_j> times e_j.

Legend: R rows (sets x batch), N fields, W of them padded to whole vectors, K embedding dimension per set,
X = N*K, I features: the embeddings where they lead, then a product of every pair i < j.
"""

import numpy as np
from numba import njit

from recscale.kernels.blocks import zero_block
from recscale.kernels.threads import spread

Array = np.ndarray

FAST = {"reassoc", "contract", "nsz"}
"""Sums may be taken in any order; nothing is assumed of infinite numbers and NaN."""


def forward(emb_RNK: Array, features_RI: Array) -> None:
    """Writes the products, after the embeddings where there is room for them."""
    spread(lambda first, last: _forward(emb_RNK, features_RI, first, last), len(emb_RNK))


def backward(emb_RNK: Array, grad_RI: Array, grad_emb_RNK: Array) -> None:
    """Writes the gradient of the embeddings from that of the features."""
    spread(lambda first, last: _backward(emb_RNK, grad_RI, grad_emb_RNK, first, last), len(emb_RNK))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _forward(emb_RNK: Array, features_RI: Array, first: int, last: int) -> None:
    _, fields, dim = emb_RNK.shape
    lead, wide = features_RI.shape[1] - fields * (fields - 1) // 2, _whole(fields, 16)
    e_KW, gram_2W = zero_block(_whole(dim, 4), wide), zero_block(2, wide)
    for row in range(first, last):
        emb_NK, features_I = emb_RNK[row], features_RI[row]
        for n in range(fields):
            for k in range(dim):
                e_KW[k, n] = emb_NK[n, k]
        emb_X = emb_NK.reshape(fields * dim)
        for x in range(lead):
            features_I[x] = emb_X[x]
        place = lead
        for i in range(0, fields - 1, 2):
            gram_2W[:] = 0
            for k in range(0, len(e_KW), 4):
                a0, a1, a2, a3 = e_KW[k, i], e_KW[k + 1, i], e_KW[k + 2, i], e_KW[k + 3, i]
                b0, b1, b2, b3 = e_KW[k, i + 1], e_KW[k + 1, i + 1], e_KW[k + 2, i + 1], e_KW[k + 3, i + 1]
                for j in range(wide):
                    e0, e1, e2, e3 = e_KW[k, j], e_KW[k + 1, j], e_KW[k + 2, j], e_KW[k + 3, j]
                    gram_2W[0, j] += a0 * e0 + a1 * e1 + a2 * e2 + a3 * e3
                    gram_2W[1, j] += b0 * e0 + b1 * e1 + b2 * e2 + b3 * e3
            for j in range(i + 1, fields):
                features_I[place + j - i - 1] = gram_2W[0, j]
            place += fields - 1 - i
            for j in range(i + 2, fields):
                features_I[place + j - i - 2] = gram_2W[1, j]
            place += fields - 2 - i


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _backward(emb_RNK: Array, grad_RI: Array, grad_emb_RNK: Array, first: int, last: int) -> None:
    _, fields, dim = emb_RNK.shape
    lead, wide, fours = grad_RI.shape[1] - fields * (fields - 1) // 2, _whole(fields, 16), _whole(fields, 4)
    e_NK, gram_NW = zero_block(fours, _whole(dim, 2)), zero_block(fours, wide)
    grad_2W = zero_block(2, wide)
    for row in range(first, last):
        grad_I, grad_NK = grad_RI[row], grad_emb_RNK[row]
        for n in range(fields):
            for k in range(dim):
                e_NK[n, k] = emb_RNK[row, n, k]
        place = lead
        for i in range(fields):
            for j in range(i + 1, fields):
                gram_NW[i, j] = gram_NW[j, i] = grad_I[place + j - i - 1]
            place += fields - 1 - i
        for k in range(0, dim, 2):
            grad_2W[:] = 0
            for j in range(0, fours, 4):
                a0, a1, a2, a3 = e_NK[j, k], e_NK[j + 1, k], e_NK[j + 2, k], e_NK[j + 3, k]
                b0, b1, b2, b3 = e_NK[j, k + 1], e_NK[j + 1, k + 1], e_NK[j + 2, k + 1], e_NK[j + 3, k + 1]
                for i in range(wide):
                    g0, g1, g2, g3 = gram_NW[j, i], gram_NW[j + 1, i], gram_NW[j + 2, i], gram_NW[j + 3, i]
                    grad_2W[0, i] += a0 * g0 + a1 * g1 + a2 * g2 + a3 * g3
                    grad_2W[1, i] += b0 * g0 + b1 * g1 + b2 * g2 + b3 * g3
            for i in range(fields):
                grad_NK[i, k] = grad_2W[0, i]
            if k + 1 < dim:
                for i in range(fields):
                    grad_NK[i, k + 1] = grad_2W[1, i]
        grad_X = grad_NK.reshape(fields * dim)
        for x in range(lead):
            grad_X[x] += grad_I[x]


@njit(inline="always")
def _whole(count: int, of: int) -> int:
    """Rounded up to a multiple."""
    return -(-count // of) * of
