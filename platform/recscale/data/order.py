"""The order in which an epoch reads rows: blocks permuted over all shards, rows permuted inside a window of blocks.

Everything follows from (seed, epoch, shard sizes), never from what was read before, so any position can be resumed.
"""

from typing import NamedTuple

import numpy as np

BLOCK_ROWS = 65_536
WINDOW_ROWS = 4 * BLOCK_ROWS


class Block(NamedTuple):
    """Consecutive rows of one shard."""

    shard: int
    """Number of the shard in its split."""
    start: int
    """First row."""
    end: int
    """Row after the last."""


Window = tuple[Block, ...]
"""Blocks whose rows are permuted together."""


class RowOrder:
    """A permutation of a split's rows; a split that fits in one window is permuted fully."""

    def __init__(self, shard_rows: tuple[int, ...], seed: int, epoch: int) -> None:
        self._seed = seed
        self._epoch = epoch
        blocks = _blocks(shard_rows)
        self.windows = _windows([blocks[index] for index in self._random(0).permutation(len(blocks))])
        self.window_rows = tuple(_rows(window) for window in self.windows)

    def permutation(self, number: int) -> np.ndarray:
        """Order of the rows of one window: int64 [W] numbers into its blocks laid end to end."""
        return self._random(1 + number).permutation(self.window_rows[number])

    def _random(self, stream: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(self._epoch, stream)))


def _blocks(shard_rows: tuple[int, ...]) -> list[Block]:
    return [
        Block(shard, start, min(start + BLOCK_ROWS, rows))
        for shard, rows in enumerate(shard_rows)
        for start in range(0, rows, BLOCK_ROWS)
    ]


def _windows(blocks: list[Block]) -> tuple[Window, ...]:
    windows: list[list[Block]] = [[]]
    for block in blocks:
        if _rows(windows[-1]) + block.end - block.start > WINDOW_ROWS:
            windows.append([])
        windows[-1].append(block)
    return tuple(tuple(window) for window in windows)


def _rows(window: list[Block] | Window) -> int:
    return sum(block.end - block.start for block in window)
