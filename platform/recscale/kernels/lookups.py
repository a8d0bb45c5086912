"""Lookups of rows that hold several sets' vectors: set by set forward, row by row backward.

Legend: L looked-up rows of a batch, V table rows, M sets, K columns of a set, C = M * K.
"""

import numpy as np
from numba import njit

from recscale.kernels.threads import spread

Array = np.ndarray


def look_up(row_L: Array, weight_VC: Array, sets: int) -> Array:
    """Vectors [M, L, K]."""
    emb_MLK = np.empty((sets, len(row_L), weight_VC.shape[1] // sets), np.float32)
    spread(lambda first, last: _look_up(row_L, weight_VC, emb_MLK, first, last), len(row_L))
    return emb_MLK


def side_by_side(grad_MLK: Array) -> Array:
    """Gradients of whole rows [L, C]; of a single set without a copy."""
    sets, rows, columns = grad_MLK.shape
    if sets == 1:
        return grad_MLK.reshape(rows, columns)
    grad_LC = np.empty((rows, sets * columns), np.float32)
    spread(lambda first, last: _side_by_side(grad_MLK, grad_LC, first, last), rows)
    return grad_LC


@njit(cache=True, nogil=True, error_model="numpy")
def add_rows(row_L: Array, grad_LC: Array, grad_VC: Array) -> None:
    """Adds the gradient of each lookup to that of its row, in the order of the lookups."""
    for place in range(len(row_L)):
        row = row_L[place]
        for c in range(grad_LC.shape[1]):
            grad_VC[row, c] += grad_LC[place, c]


@njit(cache=True, nogil=True, error_model="numpy")
def _look_up(row_L: Array, weight_VC: Array, emb_MLK: Array, first: int, last: int) -> None:
    sets, _, columns = emb_MLK.shape
    for place in range(first, last):
        row = row_L[place]
        for m in range(sets):
            for k in range(columns):
                emb_MLK[m, place, k] = weight_VC[row, m * columns + k]


@njit(cache=True, nogil=True, error_model="numpy")
def _side_by_side(grad_MLK: Array, grad_LC: Array, first: int, last: int) -> None:
    sets, _, columns = grad_MLK.shape
    for place in range(first, last):
        for m in range(sets):
            for k in range(columns):
                grad_LC[place, m * columns + k] = grad_MLK[m, place, k]
