"""NFwFM: the field-weighted sum of Hadamard products, then an MLP (FwFM, Pan et al. 2018; NFM, He & Chua 2017).

Legend: M embedding sets, B batch, N fields, K embedding dimension per set, H hidden.
"""

from torch import Tensor, nn

from recscale.models.families import Family, Interaction
from recscale.models.layers import MLPHead, SetProjection
from recscale.models.pairs import PairWeights, field_weights, weighted_products
from recscale.models.specs import base_dim_of
from recscale.records import ModelSpec, Variant


class FullWeights(nn.Module):
    """One weight r_ij for every i and j and set, i = j included."""

    def __init__(self, num_sets: int, num_fields: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(field_weights(num_sets, num_fields, num_fields, num_fields=num_fields))

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
        """One stream h_MBH."""
        return (self.projection(weighted_products(self.field_weights(), emb_MBNK)),)

    def patterns(self) -> Tensor:
        """The field weights r_MNN."""
        r_MNN: Tensor = self.field_weights()
        return r_MNN


FAMILY = Family(
    "nfwfm",
    NFwFMInteraction,
    MLPHead,
    base_dim=base_dim_of("nfwfm"),
    variants_differ="paper: sums over the full N x N matrix of field weights, i = j included; fair: over pairs i < j, "
    "one weight each",
)
