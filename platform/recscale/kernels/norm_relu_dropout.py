"""Batch normalisation, ReLU and dropout in two passes over memory forward and two backward.

Legend: M embedding sets, B batch rows, H features of a set, P parts of all sets' rows.
"""
# ruff: noqa: N815

from typing import NamedTuple

import numpy as np
from numba import njit

from recscale.kernels.threads import piece, share, spread, team

Array = np.ndarray

PARTS = 32
"""Of the rows of all sets, at least: what threads share out. Sums are of parts, so that threads change no bit."""


def forward(
    x_MBH: Array, gamma_MH: Array, beta_MH: Array, eps: float, dropped: int, seed: int
) -> tuple[Array, Array, Array]:
    """y, mean [M, H] and biased variance [M, H]; a feature is dropped where 32 random bits are below `dropped`."""
    y_MBH, mean_MH, variance_MH = np.empty_like(x_MBH), np.empty_like(gamma_MH), np.empty_like(gamma_MH)
    _forward(*team(), x_MBH, gamma_MH, beta_MH, y_MBH, mean_MH, variance_MH, eps, dropped, seed)
    return y_MBH, mean_MH, variance_MH


class Layer(NamedTuple):
    """What a layer's backward pass needs."""

    grad_MBH: Array
    """Of y; one set's where it is the same for all."""
    y_MBH: Array
    """Result of `forward`."""
    x_MBH: Array
    """Its input."""
    gamma_MH: Array
    """Its scale."""
    mean_MH: Array
    """As `forward` gave it."""
    variance_MH: Array
    """As `forward` gave it."""


def backward(layer: Layer, eps: float, dropped: int) -> tuple[Array, Array, Array]:
    """Gradients of x, gamma and beta; a result above 0 says that its feature was neither cut off nor dropped."""
    grads = (np.empty_like(layer.x_MBH), np.empty_like(layer.gamma_MH), np.empty_like(layer.gamma_MH))
    _backward(*team(), *layer, *grads, eps, dropped)
    return grads


@njit(cache=True, nogil=True, error_model="numpy")
def _forward(
    start: int,
    threads: int,
    x_MBH: Array,
    gamma_MH: Array,
    beta_MH: Array,
    y_MBH: Array,
    mean_MH: Array,
    variance_MH: Array,
    eps: float,
    dropped: int,
    seed: int,
) -> None:
    sets, rows, features = x_MBH.shape
    parts = _parts(sets)
    total_PH, square_PH = np.zeros((parts, features)), np.zeros((parts, features))
    spread(start, threads, parts, _sums, (x_MBH, total_PH, square_PH))
    factor_MH, shift_MH = np.empty((sets, features), np.float32), np.empty((sets, features), np.float32)
    total_MH, square_MH = _of_sets(total_PH, sets), _of_sets(square_PH, sets)
    for m in range(sets):
        for h in range(features):
            away = total_MH[m, h] / rows
            variance = max(square_MH[m, h] / rows - away * away, 0.0)
            mean = np.float64(x_MBH[m, 0, h]) + away
            mean_MH[m, h] = mean
            variance_MH[m, h] = variance
            slope = gamma_MH[m, h] / np.sqrt(variance + eps)
            factor_MH[m, h] = slope
            shift_MH[m, h] = beta_MH[m, h] - mean * slope
    spread(start, threads, parts, _results, (x_MBH, factor_MH, shift_MH, y_MBH, parts, dropped, seed))


@piece
def _sums(x_MBH: Array, total_PH: Array, square_PH: Array, first: int, last: int) -> None:
    """Of the distances from a set's first row, and of their squares."""
    for part in range(first, last):
        m, first_row, last_row = _rows(part, len(total_PH), x_MBH)
        total_H, square_H, origin_H = total_PH[part], square_PH[part], x_MBH[m, 0]
        for b in range(first_row, last_row):
            x_H = x_MBH[m, b]
            for h in range(len(x_H)):
                away = np.float64(x_H[h] - origin_H[h])
                total_H[h] += away
                square_H[h] += away * away


@piece
def _results(
    x_MBH: Array,
    factor_MH: Array,
    shift_MH: Array,
    y_MBH: Array,
    parts: int,
    dropped: int,
    seed: int,
    first: int,
    last: int,
) -> None:
    rows = x_MBH.shape[1]
    scale, limit = np.float32(2.0**32 / (2.0**32 - dropped)), np.uint32(dropped)
    for part in range(first, last):
        m, first_row, last_row = _rows(part, parts, x_MBH)
        factor_H, shift_H = factor_MH[m], shift_MH[m]
        for b in range(first_row, last_row):
            first_key, second_key = _keys(seed, m * rows + b)
            x_H, y_H = x_MBH[m, b], y_MBH[m, b]
            for h in range(len(x_H)):
                value = x_H[h] * factor_H[h] + shift_H[h]
                kept = (_hash(h, first_key, second_key) >= limit) & (not value <= 0)  # NaN goes on
                y_H[h] = value * scale if kept else np.float32(0)


@njit(cache=True, nogil=True, error_model="numpy")
def _backward(
    start: int,
    threads: int,
    grad_MBH: Array,
    y_MBH: Array,
    x_MBH: Array,
    gamma_MH: Array,
    mean_MH: Array,
    variance_MH: Array,
    grad_x_MBH: Array,
    grad_gamma_MH: Array,
    grad_beta_MH: Array,
    eps: float,
    dropped: int,
) -> None:
    sets, rows, features = x_MBH.shape
    parts = _parts(sets)
    total_PH, product_PH = np.zeros((parts, features)), np.zeros((parts, features))
    spread(start, threads, parts, _products, (grad_MBH, y_MBH, x_MBH, mean_MH, total_PH, product_PH))
    factor_MH, shift_MH = np.empty((sets, features), np.float32), np.empty((sets, features), np.float32)
    slope_MH = np.empty((sets, features), np.float32)
    total_MH, product_MH = _of_sets(total_PH, sets), _of_sets(product_PH, sets)
    scale = np.float32(2.0**32 / (2.0**32 - dropped))
    for m in range(sets):
        for h in range(features):
            inverse = 1 / np.sqrt(variance_MH[m, h] + eps)
            grad_gamma_MH[m, h] = scale * product_MH[m, h] * inverse
            grad_beta_MH[m, h] = scale * total_MH[m, h]
            factor_MH[m, h] = scale * gamma_MH[m, h] * inverse
            slope_MH[m, h] = factor_MH[m, h] * inverse * inverse * product_MH[m, h] / rows
            shift_MH[m, h] = factor_MH[m, h] * total_MH[m, h] / rows
    given = (grad_MBH, y_MBH, x_MBH, mean_MH, factor_MH, shift_MH, slope_MH, grad_x_MBH, parts)
    spread(start, threads, parts, _gradients, given)


@piece
def _products(
    grad_MBH: Array,
    y_MBH: Array,
    x_MBH: Array,
    mean_MH: Array,
    total_PH: Array,
    product_PH: Array,
    first: int,
    last: int,
) -> None:
    """Sums of what is passed back, and of its products with distances from the mean."""
    for part in range(first, last):
        m, first_row, last_row = _rows(part, len(total_PH), x_MBH)
        total_H, product_H, mean_H, grad_BH = total_PH[part], product_PH[part], mean_MH[m], grad_MBH[m % len(grad_MBH)]
        for b in range(first_row, last_row):
            x_H, y_H, grad_H = x_MBH[m, b], y_MBH[m, b], grad_BH[b]
            for h in range(len(x_H)):
                passed = np.float32(0) if y_H[h] <= 0 else grad_H[h]
                total_H[h] += np.float64(passed)
                product_H[h] += np.float64(passed * (x_H[h] - mean_H[h]))


@piece
def _gradients(
    grad_MBH: Array,
    y_MBH: Array,
    x_MBH: Array,
    mean_MH: Array,
    factor_MH: Array,
    shift_MH: Array,
    slope_MH: Array,
    grad_x_MBH: Array,
    parts: int,
    first: int,
    last: int,
) -> None:
    for part in range(first, last):
        m, first_row, last_row = _rows(part, parts, x_MBH)
        mean_H, factor_H, shift_H, slope_H = mean_MH[m], factor_MH[m], shift_MH[m], slope_MH[m]
        grad_BH = grad_MBH[m % len(grad_MBH)]
        for b in range(first_row, last_row):
            x_H, y_H, grad_H, grad_x_H = x_MBH[m, b], y_MBH[m, b], grad_BH[b], grad_x_MBH[m, b]
            for h in range(len(x_H)):
                passed = np.float32(0) if y_H[h] <= 0 else grad_H[h]
                grad_x_H[h] = passed * factor_H[h] - shift_H[h] - (x_H[h] - mean_H[h]) * slope_H[h]


@njit(inline="always")
def _parts(sets: int) -> int:
    """Of all sets, as many of each."""
    return sets * -(-PARTS // sets)


@njit
def _of_sets(sum_PH: Array, sets: int) -> Array:
    """Sums of parts added up, in their order: [M, H]."""
    parts, features = sum_PH.shape
    sum_MH = np.zeros((sets, features))
    for part in range(parts):
        for h in range(features):
            sum_MH[part // (parts // sets), h] += sum_PH[part, h]
    return sum_MH


@njit(inline="always")
def _rows(part: int, parts: int, x_MBH: Array) -> tuple[int, int, int]:
    """The set of a part, and its rows: from, to."""
    sets, rows, _ = x_MBH.shape
    of_set = parts // sets
    first, last = share(rows, part % of_set, of_set)
    return part // of_set, first, last


@njit(cache=True, nogil=True, inline="always")
def _keys(seed: int, row: int) -> tuple[np.uint32, np.uint32]:
    """Two keys of 32 bits for a row (splitmix64; Steele et al. 2014)."""
    z = np.uint64(seed) + np.uint64(row + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.uint32(z), np.uint32(z >> np.uint64(32))


@njit(cache=True, nogil=True, inline="always")
def _hash(column: int, first: np.uint32, second: np.uint32) -> np.uint32:
    """32 random bits of a row's column: two rounds of multiply and fold with a key each (lowbias32, C. Wellons)."""
    z = np.uint32(np.uint32(column) * np.uint32(0x9E3779B9) + np.uint32(first))
    z = np.uint32(np.uint32(z ^ (z >> np.uint32(16))) * np.uint32(0x7FEB352D)) ^ np.uint32(second)
    z = np.uint32(np.uint32(z ^ (z >> np.uint32(15))) * np.uint32(0x846CA68B))
    return np.uint32(z ^ (z >> np.uint32(16)))
