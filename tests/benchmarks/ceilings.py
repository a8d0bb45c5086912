"""What a device does at most: the rates that shares are of."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from recscale.models.products import product
from recscale.records import Precision


@dataclass(frozen=True)
class Ceilings:
    """The best of several runs."""

    gflops: float
    """Product of two square float32 matrices, GFLOP/s."""
    copy_gbs: float
    """Copy of a large vector, GB/s read and written."""


def measure_ceilings(device: torch.device) -> Ceilings:
    """Of float32."""
    return Ceilings(product_gflops(device, Precision.FP32), copy_gbs(device))


def product_gflops(device: torch.device, precision: Precision) -> float:
    """Square matrices of 4096 rows on an accelerator, 2048 on a CPU, by the library that our models use."""
    torch.set_float32_matmul_precision("high" if precision is Precision.TF32 else "highest")
    size = 4096 if device.type == "cuda" else 2048
    kind = torch.bfloat16 if precision is Precision.BF16 else torch.float32
    left, right = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    return 2e-9 * size**3 / fastest(device, lambda: product(left, right))


def copy_gbs(device: torch.device) -> float:
    """A vector of 1 GiB on an accelerator, 256 MiB on a CPU."""
    source = torch.zeros(2**28 if device.type == "cuda" else 2**26, device=device)
    target = torch.empty_like(source)
    return 8e-9 * source.numel() / fastest(device, lambda: target.copy_(source))


def fastest(device: torch.device, call: Callable[[], object], times: int = 8) -> float:
    """Seconds of the fastest call."""
    return min(seconds(call, device) for _ in range(times))


def seconds(call: Callable[[], object], device: torch.device | None = None) -> float:
    """Of one call, and of what it leaves a device to do."""
    wait(device)
    started = time.perf_counter()
    call()
    wait(device)
    return time.perf_counter() - started


def wait(device: torch.device | None) -> None:
    """Until an accelerator has done what it was given."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
