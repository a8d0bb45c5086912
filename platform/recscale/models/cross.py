"""Cross layers x_{l+1} = x_0 * (x_l W_l + b_l) + x_l (Wang et al. 2021): on a CPU the whole stack is one operation.

Legend: M embedding sets, B batch, I inputs, L layers.
"""
# ruff: noqa: N815

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from recscale.models.products import added_product, product, turned_product


def crossed(x0_MBI: Tensor, layers: nn.ModuleList) -> Tensor:
    """x_L of x_0 [M, B, I], by SetLinear layers."""
    if compiles(x0_MBI):
        parameters = [layer.get_parameter(name) for layer in layers for name in ("weight", "bias")]
        half = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
        y_MBI: Tensor = _Crossed.apply(x0_MBI.contiguous(), half, *parameters)  # type: ignore[no-untyped-call]
        return y_MBI
    x_MBI = x0_MBI
    for layer in layers:
        x_MBI = torch.addcmul(x_MBI, x0_MBI, layer(x_MBI))
    return x_MBI


def compiles(x0_MBI: Tensor) -> bool:
    """Whether the compiled operation takes x_0; only in training, for it keeps what the backward pass needs."""
    return x0_MBI.is_cpu and x0_MBI.dtype is torch.float32 and torch.is_grad_enabled()


class _Crossed(torch.autograd.Function):
    """All layers under autograd, a set at a time; between two matrix products one compiled pass.

    Products are in `precision`; everything else, the sum of gradients included, is in float32.
    """

    @staticmethod
    def forward(ctx: Any, x0_MBI: Tensor, precision: torch.dtype, *parameters: Tensor) -> Tensor:
        from recscale.kernels import cross  # only here: an accelerator needs no numba

        y_MBI, saved = torch.empty_like(x0_MBI), []
        for x0_BI, y_BI, layers in zip(x0_MBI, y_MBI, _by_set(parameters), strict=True):
            x_BI = x0_BI
            for left, (weight_II, bias_1I) in zip(reversed(range(len(layers))), layers, strict=True):
                rounded_BI = x_BI.to(precision)
                product_BI = product(rounded_BI, weight_II.to(precision)).float()
                saved += [rounded_BI, product_BI]
                layer = cross.Layer(*map(_array, (x_BI, x0_BI, product_BI, bias_1I.squeeze(0))))
                x_BI = torch.empty_like(x_BI) if left else y_BI
                cross.forward(layer, _array(x_BI))
        ctx.save_for_backward(x0_MBI, *parameters, *saved)
        ctx.precision, ctx.parameters = precision, len(parameters)
        return y_MBI

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_MBI: Tensor) -> tuple[Tensor | None, ...]:
        x0_MBI, *kept = ctx.saved_tensors
        parameters, saved = kept[: ctx.parameters], iter(kept[ctx.parameters :])
        grad_x0_MBI, grads = torch.empty_like(x0_MBI), [torch.empty_like(each) for each in parameters]
        by_set = zip(x0_MBI, grad_MBI, grad_x0_MBI, _by_set(parameters), _by_set(grads), strict=True)
        for x0_BI, grad_BI, grad_x0_BI, layers, room in by_set:
            passed = [_Passed(*layer, next(saved), next(saved), *to) for layer, to in zip(layers, room, strict=True)]
            _backward(passed, x0_BI, grad_BI.contiguous(), grad_x0_BI)
        return grad_x0_MBI, None, *grads


class _Passed(NamedTuple):
    """A layer of one set after its forward pass."""

    weight_II: Tensor
    """W."""
    bias_1I: Tensor
    """b."""
    rounded_BI: Tensor
    """What it multiplied, in the precision of products."""
    product_BI: Tensor
    """x W."""
    grad_weight_II: Tensor
    """Room for the gradient of W."""
    grad_bias_1I: Tensor
    """Room for the gradient of b."""


def _backward(passed: Sequence[_Passed], x0_BI: Tensor, grad_BI: Tensor, grad_x0_BI: Tensor) -> None:
    """Of one set, from its last layer to its first; writes the gradients of x_0, weights and biases."""
    from recscale.kernels import cross

    for number, of in enumerate(reversed(passed)):
        layer = cross.Layer(*map(_array, (grad_BI, x0_BI, of.product_BI, of.bias_1I.squeeze(0))))
        arrays = cross.backward(layer, _array(grad_x0_BI), number == 0)
        grad_product_BI, grad_bias_I = map(torch.from_numpy, arrays)
        half_BI = grad_product_BI.to(of.rounded_BI.dtype)
        of.grad_weight_II.copy_(turned_product(of.rounded_BI, half_BI))
        of.grad_bias_1I.copy_(grad_bias_I)
        grad_BI = added_product(grad_BI, half_BI, of.weight_II.to(half_BI.dtype).mT)
    grad_x0_BI.add_(grad_BI)


def _by_set(parameters: Sequence[Tensor]) -> list[tuple[tuple[Tensor, Tensor], ...]]:
    """Per set, every layer's weight [I, I] and bias [1, I]."""
    layers = zip(parameters[::2], parameters[1::2], strict=True)
    return list(zip(*(zip(weight_MII, bias_M1I, strict=True) for weight_MII, bias_M1I in layers), strict=True))


def _array(tensor: Tensor) -> np.ndarray:
    """Without a copy."""
    return tensor.detach().numpy()
