"""Vectors of the CPU's width in compiled kernels, for sums that are to stay in its registers through a loop.

What LLVM makes vectors of by itself is an innermost loop, whose sums it reads and writes at every turn. With these, a
kernel says which sums it holds: twelve at most, for a CPU with AVX2 has sixteen registers. A place is a tuple of
indices, none of them negative; nobody asks whether the array has them.
"""

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic, models, register_model
from numba.np.arrayobj import make_array

LANES = 16 if llvm.get_host_cpu_features().get("avx512f") else 8
"""Float32 numbers of a vector."""
SHAPE = ir.VectorType(ir.FloatType(), LANES)
NUMBER = ir.IntType(32)
FUSED = ("contract",)
"""A product and a sum may be one instruction."""

Vector = Any
"""In signatures of kernels."""


class _VectorType(types.Type):  # type: ignore[misc]
    """As numba's typing knows it."""


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    """As numba's code generator knows it."""

    def __init__(self, manager: Any, described: Any) -> None:
        super().__init__(manager, described, SHAPE)


VECTOR = _VectorType(f"Vector{LANES}")


@intrinsic
def load(_typing: Any, array: Any, place: Any) -> Any:
    """The numbers of `array` from a place on."""
    _check(array)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, array, arguments)
        return builder.load(builder.bitcast(pointer, SHAPE.as_pointer()), align=4)

    return VECTOR(array, place), generate


@intrinsic
def store(_typing: Any, array: Any, place: Any, vector: Any) -> Any:
    """Writes a vector to `array`, from a place on."""
    _check(array)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, array, arguments)
        builder.store(arguments[2], builder.bitcast(pointer, SHAPE.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(array, place, VECTOR), generate


@intrinsic
def everywhere(_typing: Any, array: Any, place: Any) -> Any:
    """The number at a place, in every lane."""
    _check(array)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = builder.load(_pointer(context, builder, array, arguments))
        none = ir.Constant(SHAPE, ir.Undefined)
        return builder.shuffle_vector(builder.insert_element(none, number, NUMBER(0)), none, _lanes(*[0] * LANES))

    return VECTOR(array, place), generate


@intrinsic
def zero(_typing: Any) -> Any:
    """A vector of zeros."""
    return VECTOR(), lambda *_: ir.Constant(SHAPE, [0.0] * LANES)


@intrinsic
def product(_typing: Any, left: Any, right: Any) -> Any:
    """left * right."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fmul(*arguments)

    return VECTOR(VECTOR, VECTOR), generate


@intrinsic
def plus_product(_typing: Any, to: Any, left: Any, right: Any) -> Any:
    """to + left * right."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fadd(arguments[0], builder.fmul(*arguments[1:], flags=FUSED), flags=FUSED)

    return VECTOR(VECTOR, VECTOR, VECTOR), generate


@intrinsic
def total(_typing: Any, vector: Any) -> Any:
    """The sum of a vector's lanes, by halves."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (left,) = arguments
        for half in (LANES >> level for level in range(1, LANES.bit_length())):
            none = ir.Constant(left.type, ir.Undefined)
            lower, upper = (
                builder.shuffle_vector(left, none, _lanes(*range(first, first + half))) for first in (0, half)
            )
            left = builder.fadd(lower, upper)
        return builder.extract_element(left, NUMBER(0))

    return types.float32(VECTOR), generate


def _check(array: Any) -> None:
    if array.dtype != types.float32 or array.layout != "C":
        raise TypingError(f"vectors are of contiguous arrays of float32, got {array}")


def _pointer(context: Any, builder: Any, array: Any, arguments: Any) -> Any:
    """To a place of an array."""
    given, place = arguments[:2]
    indices = cgutils.unpack_tuple(builder, place)
    return cgutils.get_item_pointer(context, builder, array, make_array(array)(context, builder, given), indices)


def _lanes(*numbers: int) -> Any:
    """Which lanes a vector takes from another."""
    return ir.Constant(ir.VectorType(NUMBER, len(numbers)), list(numbers))
