"""Updates of the table rows that a batch touched: duplicates are summed and their row is updated while it is in cache.

Legend: L looked-up rows of a batch, duplicates included, V table rows, C columns of a row, M sets, K = C / M.
"""
# ruff: noqa: N815

from typing import NamedTuple

import numpy as np
from numba import njit

from recscale.kernels.groups import GROUPS, group_of
from recscale.kernels.prefetch import ENTRIES_AHEAD, ROWS_AHEAD, prefetch
from recscale.kernels.threads import Given, piece, spread, team

Array = np.ndarray

FREE = -1
"""Of a row that the batch has not touched so far; every kernel leaves all of `slot_V` so."""


class Touched(NamedTuple):
    """A batch's gradient and the table that it is of."""

    row_L: Array
    """Rows that were looked up, int64."""
    grad_LC: Array
    """Gradient of each lookup."""
    weight_VC: Array
    """The table."""
    slot_V: Array
    """Scratch, int32, all FREE."""


def free_slots(rows: int) -> Array:
    """Scratch for a table of so many rows."""
    return np.full(rows, FREE, np.int32)


def lazy_adam(
    touched: Touched,
    mean_VC: Array,
    square_VC: Array,
    step_V: Array,
    step: int,
    beta1: float,
    beta2: float,
    step_size: float,
    correction2: float,
    eps: float,
    coupled: float,
    shrink: float,
) -> None:
    """In place: moments and weights of touched rows; `coupled` is L2 in the gradient, `shrink` multiplies weights.

    `step_V`, int32, is where rows' steps are noted; of length 0 where they are not.
    """
    rates = (1 - beta1, beta2, 1 - beta2, step_size, 1 / correction2, eps, coupled, shrink)
    arrays = (*touched, mean_VC, square_VC, step_V)
    _lazy_adam(*team(), GROUPS, (*arrays, step, *map(np.float32, rates), GROUPS))


def rowwise_adagrad(
    touched: Touched, sum_VM: Array, learning_rate: float, eps: float, coupled: float, shrink: float
) -> None:
    """In place: accumulators and weights of the touched rows."""
    rates = (learning_rate, eps, coupled, shrink)
    _rowwise_adagrad(*team(), GROUPS, (*touched, sum_VM, *map(np.float32, rates), GROUPS))


@njit(cache=True, nogil=True)
def _lazy_adam(start: int, threads: int, groups: int, given: Given) -> None:
    spread(start, threads, groups, _lazy_adam_groups, given)


@njit(cache=True, nogil=True)
def _rowwise_adagrad(start: int, threads: int, groups: int, given: Given) -> None:
    spread(start, threads, groups, _rowwise_adagrad_groups, given)


@njit(cache=True, nogil=True, error_model="numpy")
def add_rows(row_L: Array, grad_LC: Array, grad_VC: Array) -> None:
    """Adds the gradient of each lookup to that of its row, in the order of the lookups."""
    for place in range(len(row_L)):
        prefetch(grad_VC, row_L[min(place + ROWS_AHEAD, len(row_L) - 1)])
        row = row_L[place]
        for c in range(grad_LC.shape[1]):
            grad_VC[row, c] += grad_LC[place, c]


@njit(cache=True, nogil=True, error_model="numpy")
def first_lookups(row_L: Array, offsets_N: Array, slot_V: Array) -> tuple[Array, Array, Array]:
    """Distinct rows, field by field, where the batch looks up each first, and how many there are of each field.

    `offsets_N`, int64, is where each field's rows start.
    """
    row_U, place_U = np.empty_like(row_L), np.empty_like(row_L)
    field_U, size_N = np.empty(len(row_L), np.int32), np.zeros(len(offsets_N), np.int64)
    distinct = 0
    for place in range(len(row_L)):
        prefetch(slot_V, row_L[min(place + ENTRIES_AHEAD, len(row_L) - 1)])
        row = row_L[place]
        if slot_V[row] == FREE:
            slot_V[row] = distinct
            field = np.searchsorted(offsets_N, row, side="right") - 1
            row_U[distinct], place_U[distinct], field_U[distinct] = row, place, field
            size_N[field] += 1
            distinct += 1
    next_N = np.cumsum(size_N) - size_N
    grouped_U, first_U = np.empty(distinct, np.int64), np.empty(distinct, np.int64)
    for u in range(distinct):
        slot_V[row_U[u]] = FREE
        to = next_N[field_U[u]]
        grouped_U[to], first_U[to] = row_U[u], place_U[u]
        next_N[field_U[u]] = to + 1
    return grouped_U, first_U, size_N


@njit(cache=True, nogil=True, error_model="numpy")
def moves(row_U: Array, weight_VC: Array, old_UC: Array) -> Array:
    """What rows are now less `old_UC`, to which what they are now is added."""
    moved_UC = np.empty_like(old_UC)
    for u in range(len(row_U)):
        prefetch(weight_VC, row_U[min(u + ROWS_AHEAD, len(row_U) - 1)])
        row = row_U[u]
        for c in range(old_UC.shape[1]):
            new = weight_VC[row, c]
            moved_UC[u, c] = new - old_UC[u, c]
            old_UC[u, c] += new
    return moved_UC


@piece
def _lazy_adam_groups(
    row_L: Array,
    grad_LC: Array,
    weight_VC: Array,
    slot_V: Array,
    mean_VC: Array,
    square_VC: Array,
    step_V: Array,
    step: int,
    rest1: float,
    beta2: float,
    rest2: float,
    step_size: float,
    correction: float,
    eps: float,
    coupled: float,
    shrink: float,
    groups: int,
    first: int,
    last: int,
) -> None:
    row_U, grad_UC = _summed(row_L, grad_LC, slot_V, groups, first, last)
    columns = grad_UC.shape[1]
    for u in range(len(row_U)):
        soon = row_U[min(u + ROWS_AHEAD, len(row_U) - 1)]
        prefetch(weight_VC, soon)
        prefetch(mean_VC, soon)
        prefetch(square_VC, soon)
        row = row_U[u]
        if len(step_V) > 0:
            step_V[row] = step
        for c in range(columns):
            weight = weight_VC[row, c]
            grad = grad_UC[u, c] + coupled * weight
            mean = mean_VC[row, c]
            mean += (grad - mean) * rest1
            square = square_VC[row, c] * beta2 + grad * grad * rest2
            mean_VC[row, c] = mean
            square_VC[row, c] = square
            weight_VC[row, c] = weight * shrink - step_size * mean / (np.sqrt(square * correction) + eps)


@piece
def _rowwise_adagrad_groups(
    row_L: Array,
    grad_LC: Array,
    weight_VC: Array,
    slot_V: Array,
    sum_VM: Array,
    learning_rate: float,
    eps: float,
    coupled: float,
    shrink: float,
    groups: int,
    first: int,
    last: int,
) -> None:
    row_U, grad_UC = _summed(row_L, grad_LC, slot_V, groups, first, last)
    sets = sum_VM.shape[1]
    dim = grad_UC.shape[1] // sets
    for u in range(len(row_U)):
        soon = row_U[min(u + ROWS_AHEAD, len(row_U) - 1)]
        prefetch(weight_VC, soon)
        prefetch(sum_VM, soon)
        row = row_U[u]
        for m in range(sets):
            square = np.float32(0)
            for c in range(m * dim, (m + 1) * dim):
                grad = grad_UC[u, c] + coupled * weight_VC[row, c]
                grad_UC[u, c] = grad
                square += grad * grad
            sum_VM[row, m] += square / np.float32(dim)
            step = learning_rate / (np.sqrt(sum_VM[row, m]) + eps)
            for c in range(m * dim, (m + 1) * dim):
                weight_VC[row, c] = weight_VC[row, c] * shrink - step * grad_UC[u, c]


@njit(cache=True, nogil=True, error_model="numpy")
def _summed(row_L: Array, grad_LC: Array, slot_V: Array, groups: int, first: int, last: int) -> tuple[Array, Array]:
    """Distinct rows of some groups and their summed gradients, in the order of the batch."""
    row_U, grad_UC = np.empty_like(row_L), np.empty_like(grad_LC)
    columns, distinct = grad_LC.shape[1], 0
    for place in range(len(row_L)):
        later = row_L[min(place + ENTRIES_AHEAD, len(row_L) - 1)]
        if first <= group_of(later, groups) < last:  # another thread's would be taken from it
            prefetch(slot_V, later)
        row = row_L[place]
        if not first <= group_of(row, groups) < last:
            continue
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
    return row_U[:distinct], grad_UC[:distinct]
