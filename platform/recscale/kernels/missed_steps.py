"""Steps of Adam without a gradient, taken at once by rows that are next needed; the maths: training/deferred_adam.py.

Legend: L rows, duplicates included, V table rows, C columns of a row, S steps.
"""
# ruff: noqa: N815

from typing import NamedTuple

import numpy as np
from numba import njit

from recscale.kernels.groups import GROUPS, group_of
from recscale.kernels.prefetch import ENTRIES_AHEAD, ROWS_AHEAD, prefetch
from recscale.kernels.threads import Given, piece, spread, team

Array = np.ndarray


class LateRows(NamedTuple):
    """A table whose rows are each as it was after some step."""

    weight_VC: Array
    """The table."""
    mean_VC: Array
    """First moments."""
    square_VC: Array
    """Second moments."""
    step_V: Array
    """The step that each row is at, int32."""


class Rule(NamedTuple):
    """Adam's steps without a gradient."""

    sum_S: Array
    """P from each step to infinity."""
    ratio_S: Array
    """Q from each step to infinity."""
    fade: float
    """What P's terms are multiplied by at every step."""
    ratio_fade: float
    """What Q's terms are multiplied by at every step."""
    beta1: float
    """Decay of the first moment."""
    beta2: float
    """Decay of the second moment."""
    shrink: float
    """What weights are multiplied by at every step."""
    learning_rate: float
    """Learning rate."""
    eps: float
    """What is added to the root of the second moment."""


def take(row_L: Array, late: LateRows, rule: Rule, step: int) -> None:
    """In place: takes rows to a step."""
    _take(*team(), GROUPS, (row_L, *late, *rule, step, GROUPS))


@njit(cache=True, nogil=True)
def _take(start: int, threads: int, groups: int, given: Given) -> None:
    spread(start, threads, groups, _take_groups, given)


@piece
def _take_groups(
    row_L: Array,
    weight_VC: Array,
    mean_VC: Array,
    square_VC: Array,
    step_V: Array,
    sum_S: Array,
    ratio_S: Array,
    fade: float,
    ratio_fade: float,
    beta1: float,
    beta2: float,
    shrink: float,
    learning_rate: float,
    eps: float,
    step: int,
    groups: int,
    first: int,
    last: int,
) -> None:
    columns, horizon = weight_VC.shape[1], len(sum_S) - 1
    sum_end, ratio_end = sum_S[min(step, horizon)], ratio_S[min(step, horizon)]
    small = np.float32(eps)
    last_place = len(row_L) - 1
    for place in range(len(row_L)):
        later, soon = row_L[min(place + ENTRIES_AHEAD, last_place)], row_L[min(place + ROWS_AHEAD, last_place)]
        if first <= group_of(later, groups) < last:  # another thread's would be taken from it
            prefetch(step_V, later)
        if first <= group_of(soon, groups) < last and step_V[soon] != step:
            prefetch(weight_VC, soon)
            prefetch(mean_VC, soon)
            prefetch(square_VC, soon)
        row = row_L[place]
        if not first <= group_of(row, groups) < last or step_V[row] == step:
            continue
        missed, start = step - step_V[row], min(step_V[row], horizon)
        step_V[row] = step
        total = sum_S[start] - fade**missed * sum_end
        ratio = ratio_S[start] - ratio_fade**missed * ratio_end
        size, root = np.float32(learning_rate * total), np.float32(total / ratio)
        mean_fade, square_fade = np.float32(beta1**missed), np.float32(beta2**missed)
        shrunk = np.float32(shrink**missed)
        for c in range(columns):
            mean, square = mean_VC[row, c], square_VC[row, c]
            weight_VC[row, c] = (weight_VC[row, c] - size * mean / (np.sqrt(square) * root + small)) * shrunk
            mean_VC[row, c] = mean * mean_fade
            square_VC[row, c] = square * square_fade
