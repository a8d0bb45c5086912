"""Layers of a compressed interaction network (Lian et al. 2018), compiled on a CPU.

Legend: M embedding sets, N fields, J feature maps of a layer and Q of the next, C columns (batch x dimension).
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class CINLayer(nn.Module):
    """y_q = sum_{j,n} w_qnj (x_j * e_n) + b_q (eq. 6 of the source), identity activation (its section 4.4)."""

    def __init__(self, num_sets: int, maps: int, num_fields: int, next_maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_sets, next_maps, num_fields, maps))
        self.bias = nn.Parameter(torch.empty(num_sets, next_maps, 1))
        bound = 1 / math.sqrt(maps * num_fields)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x_MJC: Tensor, emb_MNC: Tensor) -> Tensor:
        """y_MQC."""
        sums_MQC = self._compiled(x_MJC, emb_MNC) if compiles(emb_MNC) else self._by_products(x_MJC, emb_MNC)
        return sums_MQC + self.bias

    def _compiled(self, x_MJC: Tensor, emb_MNC: Tensor) -> Tensor:
        return _summed(self.weight, x_MJC, emb_MNC, torch.zeros(emb_MNC.shape[1], dtype=torch.int64))

    def _by_products(self, x_MJC: Tensor, emb_MNC: Tensor) -> Tensor:
        """Mixing the maps per field first keeps Q*N rows alive where the outer product would keep J*N."""
        mixed_MPC = torch.bmm(self.weight.flatten(1, 2), x_MJC)
        mixed_MQNC = mixed_MPC.view(*self.weight.shape[:3], -1)
        return (mixed_MQNC * emb_MNC.unsqueeze(1)).sum(2)


class FirstCINLayer(CINLayer):
    """The layer whose maps are the embeddings themselves: e_j * e_n comes twice, so one weight can stand for two."""

    def __init__(self, num_sets: int, num_fields: int, next_maps: int) -> None:
        super().__init__(num_sets, num_fields, num_fields, next_maps)

    def _compiled(self, x_MJC: Tensor, emb_MNC: Tensor) -> Tensor:
        diagonal_MQNN = torch.diag_embed(self.weight.diagonal(dim1=-2, dim2=-1))
        upper_MQNN = (self.weight + self.weight.mT - diagonal_MQNN).triu()
        return _summed(upper_MQNN, x_MJC, emb_MNC, torch.arange(emb_MNC.shape[1]))


def compiles(emb_MNC: Tensor) -> bool:
    """Whether the compiled kernels take the embeddings."""
    return emb_MNC.is_cpu and emb_MNC.dtype is torch.float32 and not torch.is_autocast_enabled("cpu")


def _summed(weight_MQNJ: Tensor, x_MJC: Tensor, emb_MNC: Tensor, first_N: Tensor) -> Tensor:
    """sum_{j,n} w_qnj (x_j * e_n), [M, Q, C], where weights of j below first_n are zero, and their gradients."""
    sums_MQC: Tensor = _Summed.apply(weight_MQNJ, x_MJC, emb_MNC, first_N)  # type: ignore[no-untyped-call]
    return sums_MQC


class _Summed(torch.autograd.Function):
    """The kernels under autograd; nothing is kept but what is given."""

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        from recscale.kernels import cin  # only here: an accelerator needs no numba

        given = tuple(each.contiguous() for each in given)
        ctx.save_for_backward(*given)
        return torch.from_numpy(cin.forward(cin.Layer(*(each.detach().numpy() for each in given))))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_MQC: Tensor) -> tuple[Tensor | None, ...]:
        from recscale.kernels import cin

        layer = cin.Layer(*(each.detach().numpy() for each in ctx.saved_tensors))
        return *map(torch.from_numpy, cin.backward(layer, grad_MQC.contiguous().numpy())), None
