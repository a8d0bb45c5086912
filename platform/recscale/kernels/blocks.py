"""What kernels that work a block at a time share: their scratch, and how sums may be compiled."""

import numpy as np
from numba import njit

FAST = {"reassoc", "contract", "nsz"}
"""Sums may be taken in any order; nothing is assumed of infinite numbers and NaN."""
LINE = 64
"""Bytes of a cache line, and of the widest vector."""


@njit(inline="always")
def zero_block(rows: int, columns: int) -> np.ndarray:
    """Float32 zeros [rows, columns] that start with a cache line: else a vector of 64 bytes is of two."""
    room = np.zeros(rows * columns + LINE // 4, np.float32)
    start = -room.ctypes.data % LINE // 4
    return room[start : start + rows * columns].reshape(rows, columns)
