"""Parts of a kernel on as many threads as torch uses; kernels run without Python's lock."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch


def spread(part: Callable[[int, int], object], count: int) -> None:
    """Calls part(first, last) over 0..count in as many pieces as torch has threads, the last of them on this thread."""
    pieces = min(torch.get_num_threads(), count)
    ends = [count * piece // pieces for piece in range(pieces + 1)] if pieces > 1 else [0, count]
    others = [_pool(os.getpid()).submit(part, ends[i], ends[i + 1]) for i in range(len(ends) - 2)]
    part(ends[-2], ends[-1])
    for other in others:
        other.result()


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Threads of this process: those of a parent do not live on in a fork."""
    return ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="kernel")
