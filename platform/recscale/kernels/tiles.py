"""Sums that kernels hold in registers: eight vectors, or twelve.

That is enough for a CPU to always have one to go on with, and few enough for its registers.
"""

import numpy as np
from numba import njit

from recscale.kernels.vectors import LANES, Vector, everywhere, load, plus_product, total, zero

Array = np.ndarray
Place = tuple[int, ...]
Three = tuple[Vector, Vector, Vector]
Four = tuple[Vector, Vector, Vector, Vector]
TwelveSums = tuple[tuple[float, float, float], ...]


@njit(inline="always")
def zeros() -> Four:
    """Four sums before anything is added."""
    return zero(), zero(), zero(), zero()


@njit(inline="always")
def weights(array: Array, first: Place, second: Place, third: Place, fourth: Place) -> Four:
    """The numbers at four places, each in every lane."""
    return everywhere(array, first), everywhere(array, second), everywhere(array, third), everywhere(array, fourth)


@njit(inline="always")
def plus_products(to: Four, by: Four, x: Vector) -> Four:
    """Each of four, plus each of four times a vector."""
    return (
        plus_product(to[0], by[0], x),
        plus_product(to[1], by[1], x),
        plus_product(to[2], by[2], x),
        plus_product(to[3], by[3], x),
    )


@njit(inline="always")
def sums_of_products(left: Array, i: int, right: Array, j: int, columns: int) -> TwelveSums:
    """Of four rows of `left` from i on with three of `right` from j on, the sums of their products over columns."""
    sums0 = sums1 = sums2 = sums3 = (zero(), zero(), zero())
    for c in range(0, columns, LANES):
        right3 = load(right, (j, c)), load(right, (j + 1, c)), load(right, (j + 2, c))
        sums0 = _plus_three(sums0, load(left, (i, c)), right3)
        sums1 = _plus_three(sums1, load(left, (i + 1, c)), right3)
        sums2 = _plus_three(sums2, load(left, (i + 2, c)), right3)
        sums3 = _plus_three(sums3, load(left, (i + 3, c)), right3)
    return _totals(sums0), _totals(sums1), _totals(sums2), _totals(sums3)


@njit(inline="always")
def _plus_three(to: Three, by: Vector, x: Three) -> Three:
    return plus_product(to[0], by, x[0]), plus_product(to[1], by, x[1]), plus_product(to[2], by, x[2])


@njit(inline="always")
def _totals(sums: Three) -> tuple[float, float, float]:
    return total(sums[0]), total(sums[1]), total(sums[2])
