"""Inner products of all pairs of fields, a row at a time in the nearest cache; half of its Gram matrix is what is kept.

The gradient of e_i is the sum over j of that of <e_i, e_j> times e_j. Eight fields are taken at once. A triangle and a
line of features are copied by whole vectors: what is too much is overwritten by the next, or lies in padding.

Legend: R rows (sets x batch), N fields, in blocks padded to whole eights, K embedding dimension per set, X = N*K,
I features: the embeddings where they lead, then a product of every pair i < j.
"""

import numpy as np
from numba import njit

from recscale.kernels.blocks import zero_block
from recscale.kernels.threads import Given, piece, spread, team
from recscale.kernels.tiles import Four, plus_products, weights, zeros
from recscale.kernels.vectors import LANES, load, store

Array = np.ndarray


def forward(emb_RNK: Array, features_RI: Array) -> None:
    """Writes the products, after the embeddings where there is room for them."""
    _forward(*team(), len(emb_RNK), (emb_RNK, features_RI))


def backward(emb_RNK: Array, grad_RI: Array, grad_emb_RNK: Array) -> None:
    """Writes the gradient of the embeddings from that of the features."""
    _backward(*team(), len(emb_RNK), (emb_RNK, grad_RI, grad_emb_RNK))


@njit(cache=True, nogil=True)
def _forward(start: int, threads: int, rows: int, given: Given) -> None:
    spread(start, threads, rows, _forward_rows, given)


@njit(cache=True, nogil=True)
def _backward(start: int, threads: int, rows: int, given: Given) -> None:
    spread(start, threads, rows, _backward_rows, given)


@piece
def _forward_rows(emb_RNK: Array, features_RI: Array, first: int, last: int) -> None:
    _, fields, dim = emb_RNK.shape
    features = features_RI.shape[1]
    lead, eights = features - fields * (fields - 1) // 2, fields + -fields % 8
    e_KN, gram_8N, line = zero_block(dim, eights), zero_block(8, eights), zero_block(1, features)
    for row in range(first, last):
        for n in range(fields):
            for k in range(dim):
                e_KN[k, n] = emb_RNK[row, n, k]
        emb_X = emb_RNK[row].reshape(fields * dim)
        for x in range(lead):
            line[0, x] = emb_X[x]
        place = lead
        for i in range(0, fields, 8):
            for j in range(i // LANES * LANES, fields, LANES):
                low, high = zeros(), zeros()
                for k in range(dim):
                    e = load(e_KN, (k, j))
                    low = plus_products(low, _four(e_KN, k, i), e)
                    high = plus_products(high, _four(e_KN, k, i + 4), e)
                _put(gram_8N, 0, j, low, high)
            for f in range(min(8, fields - i)):
                for j in range(i + f + 1, fields, LANES):
                    store(line, (0, place + j - i - f - 1), load(gram_8N, (f, j)))
                place += fields - i - f - 1
        for x in range(features):
            features_RI[row, x] = line[0, x]


@piece
def _backward_rows(emb_RNK: Array, grad_RI: Array, grad_emb_RNK: Array, first: int, last: int) -> None:
    _, fields, dim = emb_RNK.shape
    features = grad_RI.shape[1]
    lead, eights = features - fields * (fields - 1) // 2, fields + -fields % 8
    e_NK, grad_NK = zero_block(eights, dim + -dim % LANES), zero_block(eights, dim + -dim % LANES)
    upper_NN, line = zero_block(eights, eights), zero_block(1, features)
    for row in range(first, last):
        for n in range(fields):
            for k in range(dim):
                e_NK[n, k] = emb_RNK[row, n, k]
        for x in range(features):
            line[0, x] = grad_RI[row, x]
        place = lead
        for i in range(fields):
            for j in range(i + 1, fields, LANES):
                store(upper_NN, (i, j), load(line, (0, place + j - i - 1)))
            place += fields - i - 1
        for i in range(0, fields, 8):
            for k in range(0, dim, LANES):
                low, high = zeros(), zeros()
                for j in range(min(i + 7, fields)):
                    e = load(e_NK, (j, k))
                    low = plus_products(low, _four(upper_NN, j, i), e)
                    high = plus_products(high, _four(upper_NN, j, i + 4), e)
                for j in range(i + 1, fields):
                    e = load(e_NK, (j, k))
                    low = plus_products(low, _turned_four(upper_NN, i, j), e)
                    high = plus_products(high, _turned_four(upper_NN, i + 4, j), e)
                _put(grad_NK, i, k, low, high)
        for n in range(fields):
            for k in range(dim):
                grad_emb_RNK[row, n, k] = grad_NK[n, k]
        grad_X = grad_emb_RNK[row].reshape(fields * dim)
        for x in range(lead):
            grad_X[x] += line[0, x]


@njit(inline="always")
def _four(array: Array, row: int, column: int) -> Four:
    """Next to each other in a row."""
    four: Four = weights(array, (row, column), (row, column + 1), (row, column + 2), (row, column + 3))
    return four


@njit(inline="always")
def _turned_four(array: Array, row: int, column: int) -> Four:
    """Below each other in a column."""
    four: Four = weights(array, (row, column), (row + 1, column), (row + 2, column), (row + 3, column))
    return four


@njit(inline="always")
def _put(array: Array, row: int, column: int, low: Four, high: Four) -> None:
    """Writes eight rows from `row` on."""
    for i in range(4):
        store(array, (row + i, column), low[i])
        store(array, (row + 4 + i, column), high[i])
