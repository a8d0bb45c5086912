"""A seeded permutation of row numbers that is computed row by row, so that shuffling needs no memory per row.

A Feistel network over the smallest even number of bits that holds `rows`, walked until it lands inside (Black and
Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002); rounds mix with splitmix64 (Steele et al., OOPSLA 2014).
"""

import numpy as np

ROUNDS = 8


class RowPermutation:
    """A bijection of 0..rows-1 that depends only on (rows, seed)."""

    def __init__(self, rows: int, seed: int) -> None:
        self.rows = rows
        self._half_bits = np.uint64(max(1, ((max(rows, 2) - 1).bit_length() + 1) // 2))
        self._mask = np.uint64((1 << int(self._half_bits)) - 1)
        self._keys = np.random.default_rng(np.random.SeedSequence(seed)).integers(0, 2**64, ROUNDS, np.uint64)

    def __call__(self, number_B: np.ndarray) -> np.ndarray:
        """Where rows int64 [B] go: int64 [B]."""
        place_B = self._network(number_B.astype(np.uint64))
        outside = np.flatnonzero(place_B >= self.rows)
        while len(outside):
            place_B[outside] = self._network(place_B[outside])
            outside = outside[place_B[outside] >= self.rows]
        return place_B.astype(np.int64)

    def _network(self, value_B: np.ndarray) -> np.ndarray:
        left_B, right_B = value_B >> self._half_bits, value_B & self._mask
        for key in self._keys:
            left_B, right_B = right_B, left_B ^ (_splitmix64(right_B + key) & self._mask)
        mixed_B: np.ndarray = (left_B << self._half_bits) | right_B
        return mixed_B


def _splitmix64(value_B: np.ndarray) -> np.ndarray:
    value_B = (value_B ^ (value_B >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value_B = (value_B ^ (value_B >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed_B: np.ndarray = value_B ^ (value_B >> np.uint64(31))
    return mixed_B
