"""Matrix products of sets by the library that is fastest at them on this machine.

torch's products on a CPU are MKL's, which is tuned for Intel's CPUs. On AMD's, oneDNN, which torch brings along, is a
tenth faster, more where a row is not of whole vectors, and twice as fast where the CPU computes vectors of 512 bits at
once (docs/performance.md). torch has it under a private name, so all works without it. Accelerators, other precisions
and autocast go torch's own way.

Legend: M embedding sets, B batch, I inputs, O outputs.
"""

import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

PROCESSOR = Path("/proc/cpuinfo")
"""What Linux says of the CPU."""
WHOLE_VECTORS = 26
"""AMD's first family (Zen 5) that does not compute vectors of 512 bits in halves."""


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


def turned_product(x_BI: Tensor, y_BO: Tensor) -> Tensor:
    """x^T y [I, O], the gradient of a weight; no autograd."""
    if by_onednn(x_BI) and _wide():
        return product(x_BI.mT.contiguous(), y_BO)
    return torch.mm(x_BI.mT, y_BO)


def turned_products(x_MBI: Tensor, y_MBO: Tensor) -> Tensor:
    """x_m^T y_m of every set m [M, I, O], the gradients of weights; no autograd."""
    if by_onednn(x_MBI) and _wide():
        return _by_set(turned_product, x_MBI, y_MBO)
    return torch.bmm(x_MBI.mT, y_MBO)


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
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None) if "AuthenticAMD" in _told() else None


@cache
def _wide() -> bool:
    """Whether an AMD CPU has whole vectors of 512 bits, of which MKL uses half: else turning costs what it gains."""
    family = re.search(r"^cpu family\s*: (\d+)", _told(), re.MULTILINE)
    return family is not None and int(family[1]) >= WHOLE_VECTORS


def _told() -> str:
    return PROCESSOR.read_text() if PROCESSOR.exists() else ""


class _SetProducts(torch.autograd.Function):
    """oneDNN's products under autograd."""

    @staticmethod
    def forward(ctx: Any, x_MBI: Tensor, weight_MIO: Tensor, bias_M1O: Tensor | None) -> Tensor:
        ctx.save_for_backward(x_MBI, weight_MIO)
        ctx.biased = bias_M1O is not None
        biases = [None] * len(x_MBI) if bias_M1O is None else bias_M1O.squeeze(1)
        return _by_set(product, x_MBI, weight_MIO, biases)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_MBO: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        x_MBI, weight_MIO = ctx.saved_tensors
        if weight_MIO.stride(1) == 1:  # the gradient lies as the weight does
            grad_weight_MIO = turned_products(grad_MBO, x_MBI).mT
        else:
            grad_weight_MIO = turned_products(x_MBI, grad_MBO)
        grad_bias_M1O = grad_MBO.sum(1, keepdim=True) if ctx.biased else None
        grad_MBI = _by_set(product, grad_MBO, weight_MIO.mT) if ctx.needs_input_grad[0] else None
        return grad_MBI, grad_weight_MIO, grad_bias_M1O


def _by_set(of_set: Callable[..., Tensor], *given: Iterable[Any]) -> Tensor:
    """What every set gives; beside the result, memory of one set at most."""
    first, *others = zip(*given, strict=True)
    found = of_set(*first)
    if not others:
        return found.unsqueeze_(0)  # in place: what a Function returns is not to be a view
    all_found = found.new_empty(1 + len(others), *found.shape)
    all_found[0] = found
    del found
    for room, each in zip(all_found[1:], others, strict=True):
        room.copy_(of_set(*each))
    return all_found
