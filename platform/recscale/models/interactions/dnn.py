"""DNN: an MLP over the concatenated embeddings (Covington et al. 2016), no explicit interaction.

Legend: M embedding sets, B batch, N fields, K embedding dimension per set, H hidden.
"""

from torch import Tensor

from recscale.models.families import Family, Interaction
from recscale.models.layers import MLPHead, SetProjection, flat_fields
from recscale.records import ModelSpec


class DNNInteraction(Interaction):
    """Concatenation and projection."""

    def __init__(self, spec: ModelSpec, num_fields: int) -> None:
        super().__init__()
        self.widths = (spec.hidden_sizes[0],)
        inputs = num_fields * spec.embed_dim
        self.projection = SetProjection(spec.num_sets, inputs, spec.hidden_sizes[0], spec.dropout)

    def forward(self, emb_MBNK: Tensor) -> tuple[Tensor]:
        """One stream h_MBH."""
        return (self.projection(flat_fields(emb_MBNK)),)


FAMILY = Family("dnn", DNNInteraction, MLPHead)
