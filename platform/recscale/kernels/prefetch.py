"""Rows that a kernel will need soon are asked for while it works on others: a batch looks them up all over a table."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from recscale.kernels.blocks import LINE

ROWS_AHEAD = 8
"""How far ahead rows are asked for: memory answers while so many are worked on. Chosen, not swept."""
ENTRIES_AHEAD = 32
"""How far ahead entries are asked for that say whether a row is needed at all; as above."""


@intrinsic
def prefetch(_typing: Any, array: Any, index: Any) -> Any:
    """Asks for the cache lines of array[index], an entry or a row whose columns are adjacent, and waits for nothing.

    They are asked for to be written: a thread asks for no other's. It stands in kernels itself: a compiled function
    around it would count references to the arrays at every call.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given, row = arguments
        found = make_array(array)(context, builder, given)
        strides, shape = cgutils.unpack_tuple(builder, found.strides), cgutils.unpack_tuple(builder, found.shape)
        size = strides[0].type(context.get_abi_sizeof(context.get_data_type(array.dtype)))
        extent = builder.mul(size, shape[1]) if array.ndim == 2 else size
        start = builder.gep(builder.bitcast(found.data, cgutils.voidptr_t), [builder.mul(strides[0], row)])
        if array.ndim == 2:
            with cgutils.for_range_slice(builder, size.type(0), extent, size.type(LINE)) as (offset, _step):
                _ask(builder, builder.gep(start, [offset]))
        _ask(builder, builder.gep(start, [builder.sub(extent, size.type(1))]))
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


def _ask(builder: Any, pointer: Any) -> None:
    """LLVM's instruction for one line."""
    number = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
    to_write, in_all_caches, data = number(1), number(3), number(1)
    instruction = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
    builder.call(instruction, [pointer, to_write, in_all_caches, data])
