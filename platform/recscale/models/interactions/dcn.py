"""DCN: cross layers with one vector each (Wang et al. 2017), stacked: no deep branch beside them.

Legend: M embedding sets, B batch, N fields, K embedding dimension per set, I = N*K, L cross layers, H hidden.
"""

import torch
from torch import Tensor

from recscale.models.families import Family, Interaction
from recscale.models.layers import MLPHead, SetProjection, flat_fields, linear_parameter
from recscale.records import ModelSpec


class DCNInteraction(Interaction):
    """x_{l+1} = x_0 (x_l . w_l) + b_l + x_l (eq. 3 of the source) over the concatenation, then the projection.

    By induction x_l = a_l x_0 + b_0 + .. + b_{l-1} with a number a_l per row: a_{l+1} = a_l + x_l . w_l. So all layers
    together need the products x_0 . w_l only, and one multiple of x_0, not one per layer.
    """

    def __init__(self, spec: ModelSpec, num_fields: int) -> None:
        super().__init__()
        self.widths = (spec.hidden_sizes[0],)
        inputs = num_fields * spec.embed_dim
        self.cross_weight = linear_parameter(inputs, spec.num_sets, inputs, spec.cross_layers)
        self.cross_bias = linear_parameter(inputs, spec.num_sets, spec.cross_layers, inputs)
        self.projection = SetProjection(spec.num_sets, inputs, spec.hidden_sizes[0], spec.dropout)

    def forward(self, emb_MBNK: Tensor) -> tuple[Tensor]:
        """One stream h_MBH."""
        x0_MBI = flat_fields(emb_MBNK)
        product_MBL = torch.bmm(x0_MBI, self.cross_weight)
        before_MLI = self.cross_bias.cumsum(1) - self.cross_bias
        shift_ML = (before_MLI * self.cross_weight.transpose(1, 2)).sum(2)
        factor_MB = torch.ones_like(x0_MBI[..., 0])
        for layer in range(product_MBL.shape[2]):
            factor_MB = factor_MB + factor_MB * product_MBL[..., layer] + shift_ML[:, layer, None]
        crossed_MBI = torch.addcmul(self.cross_bias.sum(1, keepdim=True), factor_MB.unsqueeze(2), x0_MBI)
        return (self.projection(crossed_MBI),)


FAMILY = Family("dcn", DCNInteraction, MLPHead)
