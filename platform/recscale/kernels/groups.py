"""Rows of a table shared out between threads: no row is of two groups, whatever rows a batch looks up."""

from numba import njit

SIDE_BY_SIDE = 4
"""log2 of the rows that lie side by side and are one thread's: no two threads write one cache line."""
GROUPS = 1024
"""Groups of such rows that threads share out, a power of two."""


@njit(inline="always")
def group_of(row: int, groups: int) -> int:
    """The group of a row, of so many; given, for a cached kernel does not notice that a constant here has changed."""
    return (row >> SIDE_BY_SIDE) & (groups - 1)
