"""Work on chunks by a few threads, a bounded number of chunks ahead, so that memory does not grow with the input."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS_MAX = 4
"""Each thread holds a chunk; more of them would take more memory than time."""


def threads() -> int:
    """Threads that are used: the processors, at most THREADS_MAX."""
    return min(os.cpu_count() or 1, THREADS_MAX)


def mapped_ahead(function: Callable[[Item], Result], items: Iterable[Item], ahead: int) -> Iterator[Result]:
    """Results in the order of the items, each computed in one of `threads()` threads, at most `ahead` before its turn.

    What a call raises, an interruption too, comes out here once the calls under way have ended.
    """
    with ThreadPoolExecutor(threads()) as pool:
        pending: deque[Future[Result]] = deque()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
