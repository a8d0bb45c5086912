"""Rows that a kernel will need soon are asked for while it works on others: a batch looks them up all over a table.

Legend: L looked-up rows, V table rows, C columns of a row.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

ROWS_AHEAD = 8
"""How far ahead rows are asked for: memory answers while so many are worked on."""
ENTRIES_AHEAD = 32
"""How far ahead entries are asked for that say whether a row is needed at all."""
LINE_COLUMNS = 16
"""Columns in float32 of a cache line."""


@intrinsic
def prefetch(_: Any, array: Any, index: Any) -> Any:
    """Asks for the cache line of array[index], to be written, and waits for nothing; the index is a tuple."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = make_array(array)(context, builder, arguments[0])
        pointer = cgutils.get_item_pointer(context, builder, array, found, cgutils.unpack_tuple(builder, arguments[1]))
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        llvm_prefetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
        write, all_caches, data = number(1), number(3), number(1)
        builder.call(llvm_prefetch, [pointer, write, all_caches, data])
        return context.get_dummy_value()

    return types.void(array, types.UniTuple(types.intp, array.ndim)), generate


@njit(inline="always")
def prefetch_row(table_VC: np.ndarray, row_L: np.ndarray, place: int) -> None:
    """Asks for the row of a table, its entries of four bytes, that comes ROWS_AHEAD after a place of `row_L`."""
    if place + ROWS_AHEAD < len(row_L):
        row, columns = row_L[place + ROWS_AHEAD], table_VC.shape[1]
        for c in range(0, columns, LINE_COLUMNS):
            prefetch(table_VC, (row, c))
        prefetch(table_VC, (row, columns - 1))


@njit(inline="always")
def prefetch_entry(array_V: np.ndarray, row_L: np.ndarray, place: int) -> None:
    """Asks for the entry of the row that comes ENTRIES_AHEAD after a place of `row_L`."""
    if place + ENTRIES_AHEAD < len(row_L):
        prefetch(array_V, (row_L[place + ENTRIES_AHEAD],))
