"""Sums over pairs of fields that several families share.

Legend: M embedding sets, B batch, N fields, K embedding dimension per set, C = B*K, P pairs i < j.
"""

import math

import torch
from torch import Tensor, nn

from recscale.models.layers import pair_indices


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
    sets, rows, _, dim = emb_MBNK.shape
    emb_MNC = emb_MBNK.transpose(1, 2).flatten(2)
    partners_MNC = torch.bmm(r_MNN, emb_MNC)
    return (emb_MNC * partners_MNC).sum(1).view(sets, rows, dim)


def inner_products(emb_MBNK: Tensor) -> Tensor:
    """sum_{i<j} <e_i, e_j>, [M, B, 1], as (||sum_i e_i||^2 - sum_i ||e_i||^2) / 2 (Rendle 2010, lemma 3.1)."""
    total_MBK = emb_MBNK.sum(2)
    twice_MB = total_MBK.square().sum(2) - emb_MBNK.square().sum((2, 3))
    return twice_MB.unsqueeze(2) / 2
