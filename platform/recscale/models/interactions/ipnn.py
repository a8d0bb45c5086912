"""IPNN: inner products of every pair of fields (Qu et al. 2016).

Legend: M embedding sets, B batch, N fields, K embedding dimension per set, P pairs i < j, H hidden.
"""

from torch import Tensor

from recscale.models.families import Family, Interaction
from recscale.models.layers import MLPHead, SetProjection, pair_indices
from recscale.models.pairs import embeddings_and_products, pair_products
from recscale.records import Arm, ModelSpec, Variant


class IPNNInteraction(Interaction):
    """Products <e_i, e_j> of i < j, after the embeddings themselves where the variant says so, and the projection."""

    pair_positions: Tensor

    def __init__(self, spec: ModelSpec, num_fields: int) -> None:
        super().__init__()
        self.widths = (spec.hidden_sizes[0],)
        left_P, right_P = pair_indices(num_fields)
        self.register_buffer("pair_positions", left_P * num_fields + right_P, persistent=False)
        self.feeds_embeddings = spec.variant is Variant.FAIR or spec.arm is Arm.SINGLE
        inputs = len(left_P) + self.feeds_embeddings * num_fields * spec.embed_dim
        self.projection = SetProjection(spec.num_sets, inputs, spec.hidden_sizes[0], spec.dropout)

    def forward(self, emb_MBNK: Tensor) -> tuple[Tensor]:
        """One stream h_MBH."""
        features = embeddings_and_products if self.feeds_embeddings else pair_products
        return (self.projection(features(emb_MBNK, self.pair_positions)),)


FAMILY = Family(
    "ipnn",
    IPNNInteraction,
    MLPHead,
    variants_differ="paper: single-embedding feeds embeddings and inner products to the MLP, multi-embedding the "
    "products only; fair: both feed embeddings and products",
)
