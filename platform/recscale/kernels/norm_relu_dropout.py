"""Batch normalisation, ReLU and dropout in two passes over memory forward and two backward.

Legend: M embedding sets, B batch rows, H features of a set. A block is a set or some columns of it.
"""
# ruff: noqa: N815

from typing import NamedTuple

import numpy as np
import torch
from numba import njit

from recscale.kernels.threads import spread

Array = np.ndarray

COLUMNS = 128
"""Least columns of a block, where a set is cut for want of other work. Whole rows are read twice as fast as parts of
them, and a thread that wakes up for half a set of 2,048 rows costs what it saves: there are two threads to a block.
"""


def forward(
    x_MBH: Array, gamma_MH: Array, beta_MH: Array, eps: float, dropped: int, seed: int
) -> tuple[Array, Array, Array]:
    """y, mean [M, H] and biased variance [M, H]; a feature is dropped where 32 random bits are below `dropped`."""
    y_MBH, mean_MH, variance_MH = np.empty_like(x_MBH), np.empty_like(gamma_MH), np.empty_like(gamma_MH)
    arrays = (x_MBH, gamma_MH, beta_MH, y_MBH, mean_MH, variance_MH)
    blocks = _blocks(x_MBH)
    spread(lambda first, last: _forward(*arrays, eps, dropped, seed, blocks, first, last), len(x_MBH) * blocks)
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
    blocks = _blocks(layer.x_MBH)
    spread(lambda first, last: _backward(*layer, *grads, eps, dropped, blocks, first, last), len(layer.x_MBH) * blocks)
    return grads


def _blocks(x_MBH: Array) -> int:
    """Blocks of a set; results do not depend on them."""
    sets, _, features = x_MBH.shape
    return int(max(1, min(torch.get_num_threads() // (2 * sets), features // COLUMNS)))


@njit(cache=True, nogil=True, error_model="numpy")
def _forward(
    x_MBH: Array,
    gamma_MH: Array,
    beta_MH: Array,
    y_MBH: Array,
    mean_MH: Array,
    variance_MH: Array,
    eps: float,
    dropped: int,
    seed: int,
    blocks: int,
    first_block: int,
    last_block: int,
) -> None:
    _, rows, features = x_MBH.shape
    scale, limit = np.float32(2.0**32 / (2.0**32 - dropped)), np.uint32(dropped)
    for block in range(first_block, last_block):
        m, start, stop = _columns(block, blocks, features)
        width = stop - start
        total, square = np.zeros(width), np.zeros(width)
        origin = x_MBH[m, 0, start:stop].copy()
        for b in range(rows):
            x_H = x_MBH[m, b, start:stop]
            for h in range(width):
                away = np.float64(x_H[h] - origin[h])
                total[h] += away
                square[h] += away * away
        factor, shift = np.empty(width, np.float32), np.empty(width, np.float32)
        for h in range(width):
            away = total[h] / rows
            variance = max(square[h] / rows - away * away, 0.0)
            mean = np.float64(origin[h]) + away
            mean_MH[m, start + h] = mean
            variance_MH[m, start + h] = variance
            slope = gamma_MH[m, start + h] / np.sqrt(variance + eps)
            factor[h] = slope
            shift[h] = beta_MH[m, start + h] - mean * slope
        for b in range(rows):
            first, second = _keys(seed, m * rows + b)
            x_H, y_H = x_MBH[m, b, start:stop], y_MBH[m, b, start:stop]
            for h in range(width):
                value = x_H[h] * factor[h] + shift[h]
                kept = (_hash(start + h, first, second) >= limit) & (not value <= 0)  # NaN goes on
                y_H[h] = value * scale if kept else np.float32(0)


@njit(cache=True, nogil=True, error_model="numpy")
def _backward(
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
    blocks: int,
    first_block: int,
    last_block: int,
) -> None:
    _, rows, features = x_MBH.shape
    scale = np.float32(2.0**32 / (2.0**32 - dropped))
    for block in range(first_block, last_block):
        m, start, stop = _columns(block, blocks, features)
        grad_BH = grad_MBH[m % len(grad_MBH)]
        width = stop - start
        total, product = np.zeros(width), np.zeros(width)
        mean = mean_MH[m, start:stop].copy()
        for b in range(rows):
            x_H, y_H, grad_H = x_MBH[m, b, start:stop], y_MBH[m, b, start:stop], grad_BH[b, start:stop]
            for h in range(width):
                passed = np.float32(0) if y_H[h] <= 0 else grad_H[h]
                total[h] += np.float64(passed)
                product[h] += np.float64(passed * (x_H[h] - mean[h]))
        factor, shift = np.empty(width, np.float32), np.empty(width, np.float32)
        slope = np.empty(width, np.float32)
        for h in range(width):
            inverse = 1 / np.sqrt(variance_MH[m, start + h] + eps)
            grad_gamma_MH[m, start + h] = scale * product[h] * inverse
            grad_beta_MH[m, start + h] = scale * total[h]
            factor[h] = scale * gamma_MH[m, start + h] * inverse
            slope[h] = factor[h] * inverse * inverse * product[h] / rows
            shift[h] = factor[h] * total[h] / rows
        for b in range(rows):
            x_H, y_H, grad_H = x_MBH[m, b, start:stop], y_MBH[m, b, start:stop], grad_BH[b, start:stop]
            grad_x_H = grad_x_MBH[m, b, start:stop]
            for h in range(width):
                passed = np.float32(0) if y_H[h] <= 0 else grad_H[h]
                grad_x_H[h] = passed * factor[h] - shift[h] - (x_H[h] - mean[h]) * slope[h]


@njit(cache=True, nogil=True, inline="always")
def _columns(block: int, blocks: int, features: int) -> tuple[int, int, int]:
    """The set of a block, and its columns: from, to."""
    part = block % blocks
    return block // blocks, part * features // blocks, (part + 1) * features // blocks


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
