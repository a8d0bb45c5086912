"""What kernels that work a block of columns at a time share: their scratch and what they copy."""

import numpy as np
from numba import njit

LINE = 64
"""Bytes of a cache line, and of the widest vector."""


@njit(inline="always")
def zero_block(rows: int, columns: int) -> np.ndarray:
    """Float32 zeros that start with a cache line: else a vector of 64 bytes is of two.

    [rows, columns and a line more]: a vector may be read or written from any of the columns on, and rows whose distance
    is a power of two would share few places of a cache.
    """
    width = columns + LINE // 4
    room = np.zeros(rows * width + LINE // 4, np.float32)
    start = -room.ctypes.data % LINE // 4
    return room[start : start + rows * width].reshape(rows, width)


@njit(cache=True, nogil=True, error_model="numpy")
def take(given_RC: np.ndarray, start: int, columns: int, block: np.ndarray) -> None:
    """Copies columns from `start` on into a block; further rows of it stay, columns beyond the last become zero."""
    held = min(columns, given_RC.shape[1] - start)
    for r in range(len(given_RC)):
        given, taken = given_RC[r, start : start + held], block[r]
        for c in range(held):
            taken[c] = given[c]
        for c in range(held, columns):
            taken[c] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def give(block: np.ndarray, start: int, columns: int, taking_RC: np.ndarray) -> None:
    """Copies columns of a block back, to `start` and on, without what was padded."""
    held = min(columns, taking_RC.shape[1] - start)
    for r in range(len(taking_RC)):
        taking, given = taking_RC[r, start : start + held], block[r]
        for c in range(held):
            taking[c] = given[c]
