"""FFM: a vector of its own against every other field (Juan et al. 2016), and a linear term, no hidden layers.

Legend: M embedding sets, B batch, N fields, J embedding dimension per set, S = N*(N-1) vectors of a row,
K = (N-1)*J columns that a set has per id, R = M*B.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from recscale.errors import ConfigError
from recscale.models.families import Family, Interaction
from recscale.models.layers import LinearTerm, SumHead
from recscale.models.specs import base_dim_of
from recscale.records import ModelSpec


class PartnerProducts(torch.autograd.Function):
    """sum_{i<j} <v_i^{->j}, v_j^{->i}> of every row, with the gradient written out.

    The gradient of a vector is its partner, so backward is one more gather; autograd's own, a scatter, takes three
    times as long on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, vector_RSJ: Tensor, partner_S: Tensor) -> Tensor:
        """sum_R; partner_S is where the vector against the other way round stands."""
        ctx.save_for_backward(vector_RSJ, partner_S)
        return (vector_RSJ * vector_RSJ.index_select(1, partner_S)).sum((1, 2)) / 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_R: Tensor) -> tuple[Tensor, None]:
        """Every vector's partner, times the gradient of its row's sum."""
        vector_RSJ, partner_S = ctx.saved_tensors
        return vector_RSJ.index_select(1, partner_S).mul_(gradient_R.view(-1, 1, 1)), None


class FFMInteraction(Interaction):
    """<w, e> + sum_{i<j} <v_i^{->j}, v_j^{->i}> (eq. 4 of the source).

    Field i holds its N-1 vectors side by side, those against later fields after those against earlier ones. A sum over
    columns again: the mean over M sets of J is 1/M of the one FFM of M*J.
    """

    partner_S: Tensor  # noqa: N815

    def __init__(self, spec: ModelSpec, num_fields: int) -> None:
        super().__init__()
        self.widths = (1,)
        self.num_fields, self.embed_dim = num_fields, spec.embed_dim
        self.linear = LinearTerm(spec.num_sets, num_fields * vectors_per_id(num_fields) * spec.embed_dim)
        self.register_buffer("partner_S", _partners(num_fields), persistent=False)

    def forward(self, emb_MBNK: Tensor) -> tuple[Tensor]:
        """One feature [M, B, 1]."""
        vector_RSJ = emb_MBNK.reshape(-1, len(self.partner_S), self.embed_dim)
        pairs_R: Tensor = PartnerProducts.apply(vector_RSJ, self.partner_S)  # type: ignore[no-untyped-call]
        return (self.linear(emb_MBNK) + pairs_R.view(*emb_MBNK.shape[:2], 1),)

    def cross_blocks(self) -> Tensor:
        """Selections [M, N, N, J, K]: entry (m, i, j) picks field i's vector against field j; zeros for i = j."""
        others_NZ = _others(self.num_fields)
        picked_NNZ = torch.zeros(self.num_fields, self.num_fields, self.num_fields - 1)
        picked_NNZ.scatter_(1, others_NZ.unsqueeze(1), 1.0)
        blocks_NNJK = torch.kron(picked_NNZ.unsqueeze(2), torch.eye(self.embed_dim))
        weight = self.linear.weight
        return blocks_NNJK.to(weight).expand(len(weight), *blocks_NNJK.shape)

    def patterns(self) -> None:
        """None: what a pair weighs is in the vectors, the selections are the same everywhere."""
        return


def vectors_per_id(num_fields: int) -> int:
    """One vector against every other field; ConfigError where there is no other."""
    if num_fields < 2:
        raise ConfigError(f"ffm: the dataset has {num_fields} field, expected 2 or more to interact; choose dnn")
    return num_fields - 1


def _others(num_fields: int) -> Tensor:
    """The other fields of every field, ascending, [N, N-1]: what its vectors are against."""
    later_NZ = torch.arange(num_fields).unsqueeze(1) <= torch.arange(num_fields - 1)
    return torch.arange(num_fields - 1) + later_NZ.long()


def _partners(num_fields: int) -> Tensor:
    """Of every vector (i against j), where (j against i) stands: at row j, and there at i, or one before if j < i."""
    own_NZ, other_NZ = torch.arange(num_fields).unsqueeze(1), _others(num_fields)
    return (other_NZ * (num_fields - 1) + own_NZ - (own_NZ > other_NZ).long()).flatten()


# J = 4, as the source has it on Criteo and Avazu: a row is (N-1)*4 columns wide, not 10.
FAMILY = Family("ffm", FFMInteraction, SumHead, base_dim=base_dim_of("ffm"), vectors_per_id=vectors_per_id)
