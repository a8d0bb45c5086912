"""Parts of a kernel on as many threads as torch uses; kernels run without Python's lock."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Result = TypeVar("Result")


def spread(part: Callable[[int, int], Result], count: int) -> list[Result]:
    """part(first, last) of as many pieces of 0..count as torch has threads, in their order; the last on this thread."""
    pieces = min(torch.get_num_threads(), count)
    ends = [count * piece // pieces for piece in range(pieces + 1)] if pieces > 1 else [0, count]
    others = [_pool(os.getpid()).submit(part, ends[i], ends[i + 1]) for i in range(len(ends) - 2)]
    last = part(ends[-2], ends[-1])
    return [*(other.result() for other in others), last]


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Threads of this process: those of a parent do not live on in a fork."""
    return ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="kernel")
