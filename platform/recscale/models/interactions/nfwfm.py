"""NFwFM: the field-weighted sum of Hadamard products, then an MLP (FwFM, Pan et al. 2018; NFM, He & Chua 2017).

Legend: M embedding sets, B batch, N fields, K embedding dimension per set, C = B*K, P pairs i < j, H hidden.
"""

import math

import torch
from torch import Tensor, nn

from recscale.models.families import Family, Interaction
from recscale.models.layers import MLPHead, SetProjection, pair_indices
from recscale.records import ModelSpec, Variant


class PairWeights(nn.Module):
    """One weight r_ij per pair i < j and set, as an upper triangular matrix."""

    pair_positions: Tensor

    def __init__(self, num_sets: int, num_fields: int) -> None:
        super().__init__()
        self.num_fields = num_fields
        left_P, right_P = pair_indices(num_fields)
        self.register_buffer("pair_positions", left_P * num_fields + right_P, persistent=False)
        self.weight = nn.Parameter(_field_weights(num_sets, len(left_P), num_fields=num_fields))

    def forward(self) -> Tensor:
        """r_MNN with zeros on and below the diagonal."""
        flat_MQ = self.weight.new_zeros(len(self.weight), self.num_fields**2)
        return flat_MQ.index_copy(1, self.pair_positions, self.weight).view(-1, self.num_fields, self.num_fields)


class FullWeights(nn.Module):
    """One weight r_ij for every i and j and set, i = j included."""

    def __init__(self, num_sets: int, num_fields: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(_field_weights(num_sets, num_fields, num_fields, num_fields=num_fields))

    def forward(self) -> Tensor:
        """r_MNN."""
        return self.weight


class NFwFMInteraction(Interaction):
    """h = sum_ij r_ij (e_i * e_j) in R^K, then the projection."""

    def __init__(self, spec: ModelSpec, num_fields: int) -> None:
        super().__init__()
        self.widths = (spec.hidden_sizes[0],)
        weights = FullWeights if spec.variant is Variant.PAPER else PairWeights
        self.field_weights = weights(spec.num_sets, num_fields)
        self.projection = SetProjection(spec.num_sets, spec.embed_dim, spec.hidden_sizes[0], spec.dropout)

    def forward(self, emb_MBNK: Tensor) -> tuple[Tensor]:
        """One stream h_MBH; the sum over j is one product of r with the embeddings laid out as [M, N, C]."""
        sets, rows, _, dim = emb_MBNK.shape
        emb_MNC = emb_MBNK.transpose(1, 2).flatten(2)
        partners_MNC = torch.bmm(self.field_weights(), emb_MNC)
        pooled_MBK = (emb_MNC * partners_MNC).sum(1).view(sets, rows, dim)
        return (self.projection(pooled_MBK),)

    def patterns(self) -> Tensor:
        """The field weights r_MNN."""
        r_MNN: Tensor = self.field_weights()
        return r_MNN


def _field_weights(*shape: int, num_fields: int) -> Tensor:
    """Xavier-uniform as of an N x N matrix, whatever part of it is stored."""
    bound = math.sqrt(6 / (2 * num_fields))
    return nn.init.uniform_(torch.empty(shape), -bound, bound)


FAMILY = Family(
    "nfwfm",
    NFwFMInteraction,
    MLPHead,
    base_dim=50,
    variants_differ="paper: sums over the full N x N matrix of field weights, i = j included; fair: over pairs i < j, "
    "one weight each",
)
