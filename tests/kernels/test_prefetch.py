"""Rows asked for ahead of their turn: the machine is told so, and nothing else happens."""

import numpy as np
import pytest
from numba import njit

from recscale.kernels.prefetch import ENTRIES_AHEAD, LINE_COLUMNS, ROWS_AHEAD, prefetch_entry, prefetch_row


@njit
def _ask(table_VC: np.ndarray, entry_V: np.ndarray, row_L: np.ndarray) -> None:
    for place in range(len(row_L)):
        prefetch_row(table_VC, row_L, place)
        prefetch_entry(entry_V, row_L, place)


@pytest.mark.parametrize("columns", [1, LINE_COLUMNS, 100])
@pytest.mark.parametrize("lookups", [0, 1, ROWS_AHEAD + 1, ENTRIES_AHEAD + 1])
def test_asking_changes_nothing(columns: int, lookups: int) -> None:
    table_VC, entry_V = np.full((50, columns), 0.5, np.float32), np.arange(50, dtype=np.int32)
    row_L = np.arange(lookups) % 50
    _ask(table_VC, entry_V, row_L)
    assert (table_VC == 0.5).all()
    assert (entry_V == np.arange(50)).all()
    assert (row_L == np.arange(lookups) % 50).all()


def test_the_machine_is_asked() -> None:
    _ask(np.zeros((2, 3), np.float32), np.zeros(2, np.int32), np.zeros(1, np.int64))
    (code,) = _ask.inspect_llvm().values()
    assert code.count("call void @llvm.prefetch") >= 3
