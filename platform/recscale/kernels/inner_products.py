"""Inner products of all pairs of fields, a row at a time in the nearest cache; half of its Gram matrix is what is kept.

The gradient of e_i is the sum over j of that of <e_i, e_j> times e_j.

Legend: R rows (sets x batch), N fields, W of them padded to whole vectors, K embedding dimension per set,
X = N*K, I features: the embeddings where they lead, then a product of every pair i < j; T rows of a product, C columns.
"""

import numpy as np
from numba import njit

from recscale.kernels.blocks import FAST, zero_block
from recscale.kernels.threads import spread

Array = np.ndarray


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
            _two_products(e_KW, i, e_KW, gram_2W)
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
            _two_products(e_NK, k, gram_NW, grad_2W)
            for i in range(fields):
                grad_NK[i, k] = grad_2W[0, i]
            if k + 1 < dim:
                for i in range(fields):
                    grad_NK[i, k + 1] = grad_2W[1, i]
        grad_X = grad_NK.reshape(fields * dim)
        for x in range(lead):
            grad_X[x] += grad_I[x]


@njit(inline="always")
def _two_products(factor_TC: Array, c: int, rows_TW: Array, product_2W: Array) -> None:
    """Writes columns c and c + 1 of factors, times rows; T is whole fours, which are taken at once."""
    product_2W[:] = 0
    for t in range(0, len(rows_TW), 4):
        a0, a1, a2, a3 = factor_TC[t, c], factor_TC[t + 1, c], factor_TC[t + 2, c], factor_TC[t + 3, c]
        b0, b1, b2, b3 = factor_TC[t, c + 1], factor_TC[t + 1, c + 1], factor_TC[t + 2, c + 1], factor_TC[t + 3, c + 1]
        for w in range(rows_TW.shape[1]):
            r0, r1, r2, r3 = rows_TW[t, w], rows_TW[t + 1, w], rows_TW[t + 2, w], rows_TW[t + 3, w]
            product_2W[0, w] += a0 * r0 + a1 * r1 + a2 * r2 + a3 * r3
            product_2W[1, w] += b0 * r0 + b1 * r1 + b2 * r2 + b3 * r3


@njit(inline="always")
def _whole(count: int, of: int) -> int:
    """Rounded up to a multiple."""
    return -(-count // of) * of
