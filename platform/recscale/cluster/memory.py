"""Trials that run out of memory: how that is seen, and what is said of it."""

from ray.exceptions import RayError

from recscale.cluster.jobs import Outcome
from recscale.cluster.shares import Share

SIGNS = ("MemoryError", "out of memory", "ALLOC_FAILED", "allocate memory")
"""What an error's text holds: the errors of torch, Python, numpy, Arrow and Ray's memory monitor end in MemoryError,
CUDA and its libraries say the second and third, torch's allocator on CPUs and the kernel the last."""


def out_of_memory(ending: Outcome | RayError) -> bool:
    """Whether a trial ended for want of memory, on a GPU or a machine."""
    if isinstance(ending, Outcome):
        texts = [*ending.failed.values(), ending.error or ""]
    else:
        texts = [f"{type(ending).__name__}: {ending}"]
    return any(sign in text for text in texts for sign in SIGNS)


def ran_out(before: Share | None, last: Share) -> str:
    """The line that a trial is recorded with."""
    if before is None:
        return f"out of memory with a share of {last}, and there is no larger one to try; use larger machines or GPUs"
    return f"out of memory with a share of {before}, and again with {last}; lower the scale or the batch size"
