"""How fast this machine is, measured."""

import time
from collections.abc import Callable
from functools import partial

import torch

from recscale.study.machine import Machine

LONG_PRODUCT_SECONDS = 1e-2
"""A product that takes so long says what a machine does; shorter ones can be slower per FLOP."""


def measure_machine(threads: int, memory_bytes: int) -> Machine:
    """Measures matrix products and memory traffic with `threads` threads, in about a second at most."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        block = torch.zeros(8 << 20)
        return Machine(
            flops_per_second=_product_rate(torch.float32),
            bf16_flops_per_second=_product_rate(torch.bfloat16),
            bytes_per_second=8 * block.numel() / _fastest(lambda: block.add_(1.0)),
            memory_bytes=memory_bytes,
        )
    finally:
        torch.set_num_threads(before)


def _product_rate(precision: torch.dtype) -> float:
    """FLOP/s of the first product that takes long enough; without units for bfloat16 a large one would take seconds."""
    rate = 0.0
    for size in (128, 256, 512, 1024):
        square = torch.randn(size, size).to(precision)
        seconds = _fastest(partial(torch.mm, square, square))
        rate = 2 * size**3 / seconds
        if seconds > LONG_PRODUCT_SECONDS:
            break
    return rate


def _fastest(action: Callable[[], object]) -> float:
    """Seconds of the fastest of five calls, after one to warm up."""
    action()
    times = []
    for _ in range(5):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return min(times)
