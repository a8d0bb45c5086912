"""GDCN: cross layers of full matrices behind a gate (Wang et al. 2023, arXiv 2311.04635), stacked (GDCN-S).

The source's field-level dimensions (its sec. 4) are left out: every field has the same embed_dim.
Legend: M embedding sets, B batch, N fields, K embedding dimension per set, I = N*K, H hidden.
"""

import torch
from torch import Tensor, nn

from recscale.models.families import Family, Interaction
from recscale.models.layers import MLPHead, SetLinear, SetProjection, field_blocks, flat_fields, linear_parameter
from recscale.models.products import set_products
from recscale.records import ModelSpec


class GatedCross(nn.Module):
    """c_{l+1} = c_0 * (W_c c_l + b) * sigmoid(W_g c_l) + c_l (the source's gated cross layer)."""

    def __init__(self, num_sets: int, inputs: int) -> None:
        super().__init__()
        self.linear = SetLinear(num_sets, inputs, inputs)
        self.gate = linear_parameter(inputs, num_sets, inputs, inputs)

    def forward(self, x_MBI: Tensor, x0_MBI: Tensor) -> Tensor:
        """c_{l+1} of c_l and c_0."""
        open_MBI = set_products(x_MBI, self.gate).sigmoid()
        return torch.addcmul(x_MBI, x0_MBI * open_MBI, self.linear(x_MBI))


class GDCNInteraction(Interaction):
    """Gated cross layers over the concatenation, then the projection."""

    def __init__(self, spec: ModelSpec, num_fields: int) -> None:
        super().__init__()
        self.widths = (spec.hidden_sizes[0],)
        self.num_fields = num_fields
        inputs = num_fields * spec.embed_dim
        self.cross = nn.ModuleList(GatedCross(spec.num_sets, inputs) for _ in range(spec.cross_layers))
        self.projection = SetProjection(spec.num_sets, inputs, spec.hidden_sizes[0], spec.dropout)

    def forward(self, emb_MBNK: Tensor) -> tuple[Tensor]:
        """One stream h_MBH."""
        x0_MBI = x_MBI = flat_fields(emb_MBNK)
        for layer in self.cross:
            x_MBI = layer(x_MBI, x0_MBI)
        return (self.projection(x_MBI),)

    def cross_blocks(self) -> Tensor:
        """The first layer's blocks of W_c [M, N, N, K, K], as DCNv2's."""
        return field_blocks(self.cross[0].get_parameter("linear.weight"), self.num_fields)


FAMILY = Family("gdcn", GDCNInteraction, MLPHead)
