"""AutoInt: fields attend to each other (Song et al. 2019), without the plus version's DNN beside it.

Legend: M embedding sets, B batch, N fields, K embedding dimension per set, D columns of an attended field, A heads,
E = D/A, H hidden.
"""

from torch import Tensor, nn

from recscale.models.families import Family, Interaction
from recscale.models.layers import MLPHead, SetProjection, attend, flat_fields, linear_parameter
from recscale.models.products import set_products
from recscale.models.tokens import round_up
from recscale.records import ModelSpec


class InteractingLayer(nn.Module):
    """e' = ReLU(heads of softmax(<W_Q e, W_K e>) W_V e, side by side, + W_Res e) (eq. 5 to 8 of the source).

    The inner products are not divided by a square root, as in the source. One product with [W_Q W_K W_V W_Res].
    """

    def __init__(self, num_sets: int, inputs: int, outputs: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.weight = linear_parameter(inputs, num_sets, inputs, 4 * outputs)

    def forward(self, x_MBNI: Tensor) -> Tensor:
        """x_MBND."""
        sets, rows, fields, _ = x_MBNI.shape
        mapped_MBNX = set_products(x_MBNI.flatten(1, 2), self.weight).view(sets, rows, fields, -1)
        *maps_MBND, residual_MBND = mapped_MBNX.chunk(4, 3)
        query_RNE, key_RNE, value_RNE = (self._by_head(part) for part in maps_MBND)
        out_RNE = attend(query_RNE, key_RNE, value_RNE, scale=1.0)
        out_MBND = out_RNE.view(sets, rows, self.heads, fields, -1).transpose(2, 3).flatten(3)
        return (out_MBND + residual_MBND).relu()

    def _by_head(self, x_MBND: Tensor) -> Tensor:
        """Heads as rows, R = M*B*A."""
        return x_MBND.view(*x_MBND.shape[:3], self.heads, -1).transpose(2, 3).flatten(0, 2)


class AutoIntInteraction(Interaction):
    """Interacting layers over the fields, then the projection of all fields side by side.

    A layer's fields are as wide as an embedding, rounded up to whole heads.
    """

    def __init__(self, spec: ModelSpec, num_fields: int) -> None:
        super().__init__()
        self.widths = (spec.hidden_sizes[0],)
        width = round_up(spec.embed_dim, spec.attention_heads)
        inputs = (spec.embed_dim, *[width] * (spec.block_layers - 1))
        self.layers = nn.ModuleList(
            InteractingLayer(spec.num_sets, columns, width, spec.attention_heads) for columns in inputs
        )
        self.projection = SetProjection(spec.num_sets, num_fields * width, spec.hidden_sizes[0], spec.dropout)

    def forward(self, emb_MBNK: Tensor) -> tuple[Tensor]:
        """One stream h_MBH."""
        x_MBND = emb_MBNK
        for layer in self.layers:
            x_MBND = layer(x_MBND)
        return (self.projection(flat_fields(x_MBND)),)


FAMILY = Family("autoint", AutoIntInteraction, MLPHead)
