"""Rows asked for ahead of their turn: the machine is told so, and nothing else happens."""

import numpy as np
import pytest
from numba import njit

from recscale.kernels.prefetch import prefetch


@njit
def _ask(table_VC: np.ndarray, entry_V: np.ndarray, row_L: np.ndarray) -> None:
    for row in row_L:
        prefetch(table_VC, row)
        prefetch(entry_V, row)


@pytest.mark.parametrize("columns", [1, 16, 100])
def test_asking_changes_nothing(columns: int) -> None:
    table_VC, entry_V = np.full((50, columns), 0.5, np.float32), np.arange(50, dtype=np.int32)
    row_L = np.arange(50)
    _ask(table_VC, entry_V, row_L)
    assert (table_VC == 0.5).all()
    assert (entry_V == np.arange(50)).all()
    assert (row_L == np.arange(50)).all()


def test_the_machine_is_asked_for_a_row_and_an_entry_and_counts_no_references() -> None:
    _ask(np.zeros((2, 3), np.float32), np.zeros(2, np.int32), np.zeros(1, np.int64))
    code = _ask.inspect_llvm(_ask.signatures[0])
    assert code.count("call void @llvm.prefetch") >= 3
    assert "NRT_incref" not in code
