"""Updates of the table rows that a batch touched: duplicates are summed and their row is updated while it is in cache.

Legend: L looked-up rows of a batch, duplicates included, V table rows, C columns of a row, M sets, K = C / M.
"""

import numpy as np
from numba import njit

Array = np.ndarray

FREE = -1
"""Of a row that the batch has not touched so far; every kernel leaves all of `slot_V` so."""


@njit(cache=True, nogil=True, error_model="numpy")
def lazy_adam(
    row_L: Array,
    grad_LC: Array,
    weight_VC: Array,
    mean_VC: Array,
    square_VC: Array,
    slot_V: Array,
    beta1: float,
    beta2: float,
    step_size: float,
    correction2: float,
    eps: float,
    coupled: float,
    shrink: float,
) -> None:
    """In place: moments and weights of touched rows; `coupled` is L2 in the gradient, `shrink` multiplies weights."""
    row_U, grad_UC, distinct = _summed(row_L, grad_LC, slot_V)
    columns = grad_LC.shape[1]
    step, tiny, l2, kept_weight = np.float32(step_size), np.float32(eps), np.float32(coupled), np.float32(shrink)
    kept_square, rest1, rest2 = np.float32(beta2), np.float32(1 - beta1), np.float32(1 - beta2)
    correction = np.float32(1 / correction2)
    for u in range(distinct):
        row = row_U[u]
        for c in range(columns):
            weight = weight_VC[row, c]
            grad = grad_UC[u, c] + l2 * weight
            mean = mean_VC[row, c]
            mean += (grad - mean) * rest1
            square = square_VC[row, c] * kept_square + grad * grad * rest2
            mean_VC[row, c] = mean
            square_VC[row, c] = square
            weight_VC[row, c] = weight * kept_weight - step * mean / (np.sqrt(square * correction) + tiny)


@njit(cache=True, nogil=True, error_model="numpy")
def rowwise_adagrad(
    row_L: Array,
    grad_LC: Array,
    weight_VC: Array,
    sum_VM: Array,
    slot_V: Array,
    learning_rate: float,
    eps: float,
    coupled: float,
    shrink: float,
) -> None:
    """In place: accumulators and weights of the touched rows."""
    row_U, grad_UC, distinct = _summed(row_L, grad_LC, slot_V)
    sets = sum_VM.shape[1]
    dim = grad_LC.shape[1] // sets
    rate, tiny = np.float32(learning_rate), np.float32(eps)
    l2, kept_weight = np.float32(coupled), np.float32(shrink)
    for u in range(distinct):
        row = row_U[u]
        for m in range(sets):
            square = np.float32(0)
            for c in range(m * dim, (m + 1) * dim):
                grad = grad_UC[u, c] + l2 * weight_VC[row, c]
                grad_UC[u, c] = grad
                square += grad * grad
            sum_VM[row, m] += square / np.float32(dim)
            step = rate / (np.sqrt(sum_VM[row, m]) + tiny)
            for c in range(m * dim, (m + 1) * dim):
                weight_VC[row, c] = weight_VC[row, c] * kept_weight - step * grad_UC[u, c]


@njit(cache=True, nogil=True, error_model="numpy")
def _summed(row_L: Array, grad_LC: Array, slot_V: Array) -> tuple[Array, Array, int]:
    """Distinct rows and their summed gradients, in the order in which the batch first meets them, and their number."""
    row_U, grad_UC = np.empty_like(row_L), np.empty_like(grad_LC)
    columns, distinct = grad_LC.shape[1], 0
    for place in range(len(row_L)):
        row = row_L[place]
        slot = slot_V[row]
        if slot == FREE:
            slot_V[row] = distinct
            row_U[distinct] = row
            for c in range(columns):
                grad_UC[distinct, c] = grad_LC[place, c]
            distinct += 1
        else:
            for c in range(columns):
                grad_UC[slot, c] += grad_LC[place, c]
    for u in range(distinct):
        slot_V[row_U[u]] = FREE
    return row_U, grad_UC, distinct
