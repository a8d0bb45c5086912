"""Matrix products of sets by the library that is fastest at them on this machine.

torch's products on a CPU are MKL's, which is tuned for Intel's CPUs. On AMD's, oneDNN, which torch brings along, takes
a tenth less time, and more where a row is not of whole vectors (docs/performance.md). torch has it under a private
name, so all works without it. Accelerators, other precisions and autocast go torch's own way.

Legend: M embedding sets, B batch, I inputs, O outputs.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

PROCESSOR = Path("/proc/cpuinfo")
"""What Linux says of the CPU."""


def product(x_BI: Tensor, weight_IO: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """x W [B, O], or x W + b; no autograd."""
    if by_onednn(x_BI):
        found_BO: Tensor = _onednn()(x_BI, weight_IO.mT, bias_O, "none", [], "")
        return found_BO
    return torch.mm(x_BI, weight_IO) if bias_O is None else torch.addmm(bias_O, x_BI, weight_IO)


def added_product(y_BO: Tensor, x_BI: Tensor, weight_IO: Tensor) -> Tensor:
    """y + x W, in y's precision; no autograd."""
    if by_onednn(x_BI):
        found_BO: Tensor = _onednn().binary(x_BI, y_BO, weight_IO.mT, None, "add")
        return found_BO
    if x_BI.dtype is y_BO.dtype:
        return torch.addmm(y_BO, x_BI, weight_IO)
    return y_BO + torch.mm(x_BI, weight_IO)


def set_products(x_MBI: Tensor, weight_MIO: Tensor, bias_M1O: Tensor | None = None) -> Tensor:
    """x_m W_m of every set m [M, B, O], or x_m W_m + b_m."""
    if by_onednn(x_MBI) and not torch.is_autocast_enabled("cpu"):
        product_MBO: Tensor = _SetProducts.apply(x_MBI, weight_MIO, bias_M1O)  # type: ignore[no-untyped-call]
        return product_MBO
    return torch.bmm(x_MBI, weight_MIO) if bias_M1O is None else torch.baddbmm(bias_M1O, x_MBI, weight_MIO)


def linear_product(x_BI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """x W^T [B, O], or x W^T + b, the weight as torch's Linear has it."""
    if by_onednn(x_BI) and not torch.is_autocast_enabled("cpu"):
        bias_11O = None if bias_O is None else bias_O.view(1, 1, -1)
        return set_products(x_BI.unsqueeze(0), weight_OI.mT.unsqueeze(0), bias_11O).squeeze(0)
    return functional.linear(x_BI, weight_OI, bias_O)


def by_onednn(x: Tensor) -> bool:
    """Whether products of x are oneDNN's."""
    return x.is_cpu and x.dtype is torch.float32 and _onednn() is not None


@cache
def _onednn() -> Any:
    """oneDNN's x W^T where this CPU is AMD's and torch has it, else None."""
    amd = PROCESSOR.exists() and "AuthenticAMD" in PROCESSOR.read_text()
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None) if amd else None


class _SetProducts(torch.autograd.Function):
    """oneDNN's products under autograd; the gradient of the weight stays a batched product, which is faster there."""

    @staticmethod
    def forward(ctx: Any, x_MBI: Tensor, weight_MIO: Tensor, bias_M1O: Tensor | None) -> Tensor:
        ctx.save_for_backward(x_MBI, weight_MIO)
        ctx.biased = bias_M1O is not None
        return _by_set(x_MBI, weight_MIO, [None] * len(x_MBI) if bias_M1O is None else bias_M1O.squeeze(1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_MBO: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        x_MBI, weight_MIO = ctx.saved_tensors
        if weight_MIO.stride(1) == 1:  # the gradient lies as the weight does
            grad_weight_MIO = torch.bmm(grad_MBO.mT, x_MBI).mT
        else:
            grad_weight_MIO = torch.bmm(x_MBI.mT, grad_MBO)
        grad_bias_M1O = grad_MBO.sum(1, keepdim=True) if ctx.biased else None
        return _by_set(grad_MBO, weight_MIO.mT, [None] * len(x_MBI)), grad_weight_MIO, grad_bias_M1O


def _by_set(x_MBI: Tensor, weight_MIO: Tensor, bias_MO: Iterable[Tensor | None]) -> Tensor:
    """A product of every set."""
    products = [product(*of_set) for of_set in zip(x_MBI, weight_MIO, bias_MO, strict=True)]
    return torch.stack(products) if len(products) > 1 else products[0].unsqueeze(0)
