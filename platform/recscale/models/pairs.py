"""What families make of pairs of fields: sums over them, and all their inner products; some compiled on a CPU.

Legend: M embedding sets, B batch, N fields, K embedding dimension per set, C = B*K, P pairs i < j, R = M*B,
I features.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from recscale.models.layers import flat_fields, pair_indices


class PairWeights(nn.Module):
    """One weight r_ij per pair i < j and set, as an upper triangular matrix."""

    pair_positions: Tensor

    def __init__(self, num_sets: int, num_fields: int) -> None:
        super().__init__()
        self.num_fields = num_fields
        left_P, right_P = pair_indices(num_fields)
        self.register_buffer("pair_positions", left_P * num_fields + right_P, persistent=False)
        self.weight = nn.Parameter(field_weights(num_sets, len(left_P), num_fields=num_fields))

    def forward(self) -> Tensor:
        """r_MNN with zeros on and below the diagonal."""
        flat_MQ = self.weight.new_zeros(len(self.weight), self.num_fields**2)
        return flat_MQ.index_copy(1, self.pair_positions, self.weight).view(-1, self.num_fields, self.num_fields)


def field_weights(*shape: int, num_fields: int) -> Tensor:
    """Xavier-uniform as of an N x N matrix, whatever part of it is stored."""
    bound = math.sqrt(6 / (2 * num_fields))
    return nn.init.uniform_(torch.empty(shape), -bound, bound)


def weighted_products(r_MNN: Tensor, emb_MBNK: Tensor) -> Tensor:
    """sum_ij r_ij (e_i * e_j), [M, B, K]; the sum over j is one product of r with embeddings laid out as [M, N, C]."""
    if compiles(emb_MBNK):
        products_MBK: Tensor = _Weighted.apply(r_MNN, emb_MBNK)  # type: ignore[no-untyped-call]
        return products_MBK
    sets, rows, _, dim = emb_MBNK.shape
    emb_MNC = emb_MBNK.transpose(1, 2).flatten(2)
    partners_MNC = torch.bmm(r_MNN, emb_MNC)
    return (emb_MNC * partners_MNC).sum(1).view(sets, rows, dim)


def compiles(emb_MBNK: Tensor) -> bool:
    """Whether the compiled kernels take the embeddings."""
    return emb_MBNK.is_cpu and emb_MBNK.dtype is torch.float32 and not torch.is_autocast_enabled("cpu")


class _Weighted(torch.autograd.Function):
    """The kernels under autograd."""

    @staticmethod
    def forward(ctx: Any, r_MNN: Tensor, emb_MBNK: Tensor) -> Tensor:
        from recscale.kernels import pairs  # only here: an accelerator needs no numba

        s_MNN, emb_MBNK = (r_MNN + r_MNN.mT).detach(), emb_MBNK.contiguous()
        ctx.save_for_backward(s_MNN, emb_MBNK)
        return torch.from_numpy(pairs.forward(s_MNN.numpy(), emb_MBNK.detach().numpy()))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_MBK: Tensor) -> tuple[Tensor, Tensor]:
        from recscale.kernels import pairs

        s_MNN, emb_MBNK = ctx.saved_tensors
        grads = pairs.backward(s_MNN.numpy(), emb_MBNK.detach().numpy(), grad_MBK.contiguous().numpy())
        return torch.from_numpy(grads[0]), torch.from_numpy(grads[1])


def inner_products(emb_MBNK: Tensor) -> Tensor:
    """sum_{i<j} <e_i, e_j>, [M, B, 1], as (||sum_i e_i||^2 - sum_i ||e_i||^2) / 2 (Rendle 2010, lemma 3.1)."""
    total_MBK = emb_MBNK.sum(2)
    twice_MB = total_MBK.square().sum(2) - emb_MBNK.square().sum((2, 3))
    return twice_MB.unsqueeze(2) / 2


def pair_products(emb_MBNK: Tensor, position_P: Tensor) -> Tensor:
    """<e_i, e_j> of every pair i < j, [M, B, P]; `position_P` is where a flat N x N Gram matrix has the pairs."""
    if compiles(emb_MBNK):
        product_MBP: Tensor = _PairProducts.apply(emb_MBNK, 0)  # type: ignore[no-untyped-call]
        return product_MBP
    sets, rows = emb_MBNK.shape[:2]
    emb_RNK = emb_MBNK.flatten(0, 1)
    gram_RNN = torch.bmm(emb_RNK, emb_RNK.transpose(1, 2))
    return gram_RNN.flatten(1).index_select(1, position_P).view(sets, rows, len(position_P))


def embeddings_and_products(emb_MBNK: Tensor, position_P: Tensor) -> Tensor:
    """The embeddings themselves, then `pair_products`: [M, B, N*K + P]."""
    if compiles(emb_MBNK):
        columns = emb_MBNK.shape[2] * emb_MBNK.shape[3]
        features_MBI: Tensor = _PairProducts.apply(emb_MBNK, columns)  # type: ignore[no-untyped-call]
        return features_MBI
    product_MBP = pair_products(emb_MBNK, position_P)
    return torch.cat((flat_fields(emb_MBNK).to(product_MBP.dtype), product_MBP), 2)


class _PairProducts(torch.autograd.Function):
    """The kernels under autograd; the first `lead` features are the embeddings, all or none of them."""

    @staticmethod
    def forward(ctx: Any, emb_MBNK: Tensor, lead: int) -> Tensor:
        from recscale.kernels import inner_products as kernels  # only here: an accelerator needs no numba

        sets, rows, fields, dim = emb_MBNK.shape
        emb_RNK = emb_MBNK.detach().reshape(sets * rows, fields, dim).contiguous()
        features_MBI = emb_RNK.new_empty(sets, rows, lead + fields * (fields - 1) // 2)
        kernels.forward(emb_RNK.numpy(), features_MBI.flatten(0, 1).numpy())
        ctx.save_for_backward(emb_RNK)
        ctx.shape = emb_MBNK.shape
        return features_MBI

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_MBI: Tensor) -> tuple[Tensor, None]:
        from recscale.kernels import inner_products as kernels

        (emb_RNK,) = ctx.saved_tensors
        grad_emb_RNK = torch.empty_like(emb_RNK)
        kernels.backward(emb_RNK.numpy(), grad_MBI.contiguous().flatten(0, 1).numpy(), grad_emb_RNK.numpy())
        return grad_emb_RNK.view(ctx.shape), None
