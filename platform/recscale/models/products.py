"""Matrix products of sets by the library that is fastest at them on this machine.

torch's products on a CPU are MKL's, which is tuned for Intel's CPUs. On AMD's, oneDNN, which torch brings along, takes
a tenth less time, and more where a row is not of whole vectors (docs/performance.md). torch has it under a private
name, so all works without it. Accelerators, other precisions and autocast go torch's own way.

Legend: M embedding sets, B batch, I inputs, O outputs.
"""

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
        line_O = None if bias_O is None else bias_O.contiguous()  # oneDNN takes no notice of a bias's stride
        found_BO: Tensor = _onednn()(x_BI, weight_IO.mT, line_O, "none", [], "")
        return found_BO
    return torch.mm(x_BI, weight_IO) if bias_O is None else torch.addmm(bias_O, x_BI, weight_IO)


def added_product(y_BO: Tensor, x_BI: Tensor, weight_IO: Tensor) -> Tensor:
    """y + x W, in y's precision; no autograd."""
    if by_onednn(x_BI):
        found_BO: Tensor = _onednn().binary(x_BI, y_BO.contiguous(), weight_IO.mT, None, "add")
        return found_BO
    if x_BI.dtype is y_BO.dtype:
        return torch.addmm(y_BO, x_BI, weight_IO)
    return y_BO + torch.mm(x_BI, weight_IO)


def set_products(x_MBI: Tensor, weight_MIO: Tensor, bias_M1O: Tensor | None = None) -> Tensor:
    """x_m W_m of every set m [M, B, O], or x_m W_m + b_m."""
    if by_onednn(x_MBI):
        product_MBO: Tensor = _SetProducts.apply(x_MBI, weight_MIO, bias_M1O)  # type: ignore[no-untyped-call]
        return product_MBO
    return torch.bmm(x_MBI, weight_MIO) if bias_M1O is None else torch.baddbmm(bias_M1O, x_MBI, weight_MIO)


def linear_product(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """x W^T, or x W^T + b, the weight as torch's Linear has it; of x [B, I] by oneDNN."""
    if x.dim() == 2 and by_onednn(x):
        bias_11O = None if bias_O is None else bias_O.view(1, 1, -1)
        return set_products(x.unsqueeze(0), weight_OI.mT.unsqueeze(0), bias_11O).squeeze(0)
    return functional.linear(x, weight_OI, bias_O)


def by_onednn(x: Tensor) -> bool:
    """Whether products of x are oneDNN's."""
    plain = x.is_cpu and x.dtype is torch.float32 and not torch.is_autocast_enabled("cpu")
    return plain and _onednn() is not None


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
        return _by_set(x_MBI, weight_MIO, bias_M1O)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_MBO: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        x_MBI, weight_MIO = ctx.saved_tensors
        if weight_MIO.stride(1) == 1:  # the gradient lies as the weight does
            grad_weight_MIO = torch.bmm(grad_MBO.mT, x_MBI).mT
        else:
            grad_weight_MIO = torch.bmm(x_MBI.mT, grad_MBO)
        grad_bias_M1O = grad_MBO.sum(1, keepdim=True) if ctx.biased else None
        grad_MBI = _by_set(grad_MBO, weight_MIO.mT, None) if ctx.needs_input_grad[0] else None
        return grad_MBI, grad_weight_MIO, grad_bias_M1O


def _by_set(x_MBI: Tensor, weight_MIO: Tensor, bias_M1O: Tensor | None) -> Tensor:
    """The product of every set; beside the result, memory of one at most."""
    bias_MO = [None] * len(x_MBI) if bias_M1O is None else bias_M1O.squeeze(1)
    of_sets = zip(x_MBI, weight_MIO, bias_MO, strict=True)
    if len(x_MBI) == 1:
        return product(*next(of_sets)).unsqueeze_(0)  # in place: what a Function returns is not to be a view
    product_MBO = x_MBI.new_empty(*x_MBI.shape[:2], weight_MIO.shape[2])
    for product_BO, of_set in zip(product_MBO, of_sets, strict=True):
        product_BO.copy_(product(*of_set))
    return product_MBO
