"""Pieces of a kernel on torch's own threads, without Python.

These are still awake right after one of torch's operations, where a pool of our own would have to be woken each time:
that costs as much as half of a small kernel saves. As torch's operations, kernels on several threads hang in a process
that was forked off one whose threads had started.
"""

import ctypes
from functools import cache
from typing import Any

import torch
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

COUNT = ir.IntType(64)
FAILED = "a piece of a kernel failed, most likely for want of memory"
Given = tuple[Any, ...]
"""What all pieces of a kernel are given."""


def team() -> tuple[int, int]:
    """What `spread` is given first: the address of what starts torch's threads, 0 where there is none, and how many."""
    return _start(), torch.get_num_threads()


@cache
def _start() -> int:
    """GNU OpenMP's entry, which torch's operations are compiled to call; LLVM's and Intel's libraries have it, too."""
    try:
        found = ctypes.CDLL(None).GOMP_parallel
    except AttributeError:
        return 0
    return ctypes.cast(found, ctypes.c_void_p).value or 0


piece = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""Compiles what `spread` runs; neither called from Python nor kept on disk, for the kernel that spreads it is."""


@njit(inline="always")
def share(count: int, number: int, pieces: int) -> tuple[int, int]:
    """A piece of 0..count, first and last, for kernels whose pieces have sums of their own."""
    return count * number // pieces, count * (number + 1) // pieces


@intrinsic
def spread(_typing: Any, start: Any, threads: Any, count: Any, of: Any, given: Any) -> Any:
    """of(*given, first, last) for as many pieces of 0..count as there are threads, at most `count`; `of` is a `piece`.

    On this thread alone where there is one piece, or `start` is 0. An error in a piece, which can only be for want of
    memory, is one here, once all are done. What spreads stands in the file of what is spread, for numba's cache on disk
    notices changes of that file only.
    """
    signature_of_piece = types.void(*given.types, types.intp, types.intp)
    compiled = of.dispatcher.get_compile_result(signature_of_piece)
    described = compiled.fndesc

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start, threads, count, _, given = arguments
        context.add_linking_libs([compiled.library])
        pieces = _smaller(builder, threads, count)
        numbers = {"next": COUNT(0), "failed": COUNT(0), "count": count, "pieces": pieces}
        shared = ir.LiteralStructType([*[COUNT] * len(numbers), given.type])
        room = cgutils.alloca_once(builder, shared)
        for place, value in enumerate([*numbers.values(), given]):
            builder.store(value, cgutils.gep_inbounds(builder, room, 0, place))
        work, raw = _worker(context, builder.module, shared, described), builder.bitcast(room, cgutils.voidptr_t)
        alone = builder.or_(builder.icmp_signed("==", start, COUNT(0)), builder.icmp_signed("<=", pieces, COUNT(1)))
        with builder.if_else(alone) as (then, otherwise):
            with then:
                builder.call(work, [raw])
            with otherwise:
                number = ir.IntType(32)
                entry = ir.FunctionType(ir.VoidType(), [work.type, raw.type, number, number]).as_pointer()
                team_size = builder.trunc(threads, number)  # all, whatever the pieces: a smaller team would end threads
                builder.call(builder.inttoptr(start, entry), [work, raw, team_size, number(0)])
        failed = builder.load(cgutils.gep_inbounds(builder, room, 0, 1))
        with cgutils.if_unlikely(builder, builder.icmp_signed("!=", failed, COUNT(0))):
            context.call_conv.return_user_exc(builder, RuntimeError, (FAILED,))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, of, given), generate


def _worker(context: Any, module: Any, shared: Any, described: Any) -> Any:
    """What each thread does: it takes pieces until there are none."""
    kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t])
    work = ir.Function(module, kind, module.get_unique_name(f"{described.llvm_func_name}.worker"))
    work.linkage = "internal"
    builder = ir.IRBuilder(work.append_basic_block("entry"))
    room = builder.bitcast(work.args[0], shared.as_pointer())
    next_piece, failed, count, pieces, given = (
        cgutils.gep_inbounds(builder, room, 0, place) for place in range(len(shared.elements))
    )
    loop, body, done = (work.append_basic_block(name) for name in ("loop", "body", "done"))
    builder.branch(loop)
    builder.position_at_end(loop)
    number = builder.atomic_rmw("add", next_piece, COUNT(1), "seq_cst")
    builder.cbranch(builder.icmp_signed("<", number, builder.load(pieces)), body, done)
    builder.position_at_end(body)
    first, last = (
        builder.sdiv(builder.mul(builder.load(count), end), builder.load(pieces))
        for end in (number, builder.add(number, COUNT(1)))
    )
    values = [*cgutils.unpack_tuple(builder, builder.load(given)), first, last]
    function = context.declare_function(module, described)
    status, _ = context.call_conv.call_function(builder, function, described.restype, described.argtypes, values)
    with cgutils.if_unlikely(builder, status.is_error):
        builder.atomic_rmw("add", failed, COUNT(1), "seq_cst")
    builder.branch(loop)
    builder.position_at_end(done)
    builder.ret_void()
    return work


def _smaller(builder: Any, left: Any, right: Any) -> Any:
    return builder.select(builder.icmp_signed("<", left, right), left, right)
