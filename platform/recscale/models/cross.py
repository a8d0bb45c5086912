"""Cross layers x_{l+1} = x_0 * (x_l W_l + b_l) + x_l (Wang et al. 2021): on a CPU the whole stack is one operation.

Legend: M embedding sets, B batch, I inputs, L layers.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


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
    """All layers under autograd: between two matrix products one compiled pass, and biases without a copy.

    Products are in `precision`; everything else, the sum of gradients included, is in float32.
    """

    @staticmethod
    def forward(ctx: Any, x0_MBI: Tensor, precision: torch.dtype, *parameters: Tensor) -> Tensor:
        from recscale.kernels import cross  # only here: an accelerator needs no numba

        x_MBI, saved = x0_MBI, []
        for weight_MII, bias_M1I in zip(parameters[::2], parameters[1::2], strict=True):
            rounded_MBI = x_MBI.to(precision)
            product_MBI = torch.bmm(rounded_MBI, weight_MII.to(precision)).float()
            saved += [rounded_MBI, product_MBI]
            arrays = map(_array, (x_MBI, x0_MBI, product_MBI, bias_M1I.squeeze(1)))
            x_MBI = torch.from_numpy(cross.forward(cross.Layer(*arrays)))
        ctx.save_for_backward(x0_MBI, *parameters, *saved)
        ctx.precision = precision
        return x_MBI

    @staticmethod
    def backward(ctx: Any, grad_MBI: Tensor) -> tuple[Tensor | None, ...]:
        from recscale.kernels import cross

        x0_MBI, *kept = ctx.saved_tensors
        parameters, saved = kept[: len(kept) // 2], kept[len(kept) // 2 :]
        grad_MBI = grad_MBI.clone(memory_format=torch.contiguous_format)
        grad_x0_MBI, grads = torch.empty_like(x0_MBI), []
        layers = list(zip(parameters[::2], parameters[1::2], saved[::2], saved[1::2], strict=True))
        for number, (weight_MII, bias_M1I, rounded_MBI, product_MBI) in enumerate(reversed(layers)):
            layer = cross.Layer(*map(_array, (grad_MBI, x0_MBI, product_MBI, bias_M1I.squeeze(1))))
            grad_product_MBI = torch.from_numpy(cross.backward(layer, _array(grad_x0_MBI), number == 0))
            grad_bias_M1I = grad_product_MBI.sum(1, keepdim=True)
            half_MBI = grad_product_MBI.to(ctx.precision)
            grads += [grad_bias_M1I, torch.bmm(rounded_MBI.mT, half_MBI).float()]
            if ctx.precision is torch.float32:
                grad_MBI.baddbmm_(half_MBI, weight_MII.mT)
            else:
                grad_MBI += torch.bmm(half_MBI, weight_MII.to(ctx.precision).mT)
        return grad_x0_MBI.add_(grad_MBI), None, *reversed(grads)


def _array(tensor: Tensor) -> np.ndarray:
    """Without a copy."""
    return tensor.detach().numpy()
