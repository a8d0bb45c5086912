"""DCNv2: cross layers with full matrices (Wang et al. 2021), stacked: no deep branch beside them.

Legend: M embedding sets, B batch, N fields, K embedding dimension per set, I = N*K, H hidden.
"""

from torch import Tensor, nn

from recscale.models.cross import crossed
from recscale.models.families import Family, Interaction
from recscale.models.layers import MLPHead, SetLinear, SetProjection, field_blocks, flat_fields
from recscale.records import ModelSpec


class DCNv2Interaction(Interaction):
    """x_{l+1} = x_0 * (W_l x_l + b_l) + x_l over the concatenation, then the projection."""

    def __init__(self, spec: ModelSpec, num_fields: int) -> None:
        super().__init__()
        self.widths = (spec.hidden_sizes[0],)
        self.num_fields = num_fields
        inputs = num_fields * spec.embed_dim
        self.cross = nn.ModuleList(SetLinear(spec.num_sets, inputs, inputs) for _ in range(spec.cross_layers))
        self.projection = SetProjection(spec.num_sets, inputs, spec.hidden_sizes[0], spec.dropout)

    def forward(self, emb_MBNK: Tensor) -> tuple[Tensor]:
        """One stream h_MBH."""
        return (self.projection(crossed(flat_fields(emb_MBNK), self.cross)),)

    def cross_blocks(self) -> Tensor:
        """First layer's blocks [M, N, N, K, K]: entry (m, i, j) is W_{i->j}, so that E_i^{->j} = E_i W_{i->j}^T."""
        return field_blocks(self.cross[0].get_parameter("weight"), self.num_fields)


FAMILY = Family("dcnv2", DCNv2Interaction, MLPHead)
