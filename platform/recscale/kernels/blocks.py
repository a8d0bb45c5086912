"""Scratch of kernels that work a block of columns at a time."""

import numpy as np
from numba import njit

LINE = 64
"""Bytes of a cache line, and of the widest vector."""


@njit(inline="always")
def zero_block(rows: int, columns: int) -> np.ndarray:
    """Float32 zeros [rows, columns] from the start of a cache line on: elsewhere vectors of 64 bytes are of two lines."""
    room = np.zeros(rows * columns + LINE // 4, np.float32)
    start = -room.ctypes.data % LINE // 4
    return room[start : start + rows * columns].reshape(rows, columns)
