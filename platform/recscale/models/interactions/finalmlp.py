"""FinalMLP: two MLPs joined by bilinear fusion (Mao et al. 2023), without its feature gates.

Legend: M embedding sets, B batch, N fields, K embedding dimension per set, H hidden.
"""

import math

from torch import Tensor, nn

from recscale.models.families import Family, Interaction
from recscale.models.layers import SetMLP, SharedLinear, flat_fields
from recscale.records import ModelSpec


class FinalMLPInteraction(Interaction):
    """Two streams, each a whole MLP per set over the concatenated embeddings."""

    def __init__(self, spec: ModelSpec, num_fields: int) -> None:
        super().__init__()
        self.widths = (spec.hidden_sizes[-1],) * 2
        inputs = num_fields * spec.embed_dim
        self.streams = nn.ModuleList(SetMLP(spec.num_sets, inputs, spec.hidden_sizes, spec.dropout) for _ in range(2))

    def forward(self, emb_MBNK: Tensor) -> tuple[Tensor, Tensor]:
        """Both streams, each h_MBH."""
        flat_MBI = flat_fields(emb_MBNK)
        return self.streams[0](flat_MBI), self.streams[1](flat_MBI)


class BilinearFusion(nn.Module):
    """logit = b + w1 . o1 + w2 . o2 + o1^T W o2 (the source's bilinear fusion, one head)."""

    def __init__(self, spec: ModelSpec, widths: tuple[int, ...]) -> None:
        super().__init__()
        first, second = widths
        self.first = nn.Linear(first, 1)
        self.second = nn.Linear(second, 1, bias=False)
        self.bilinear = SharedLinear(second, first, bias=False)
        # Xavier-normal of the map o1 x o2 -> 1 logit, of all pairs: torch's own bound would start logits at +-6.
        nn.init.normal_(self.bilinear.weight, std=math.sqrt(2 / (first * second + 1)))

    def forward(self, streams: tuple[Tensor, Tensor]) -> Tensor:
        """logit_B; `bilinear` maps o2 to W o2."""
        o1_BH, o2_BH = streams
        joint_B = (o1_BH * self.bilinear(o2_BH)).sum(1)
        logit_B: Tensor = (self.first(o1_BH) + self.second(o2_BH)).squeeze(1) + joint_B
        return logit_B


FAMILY = Family("finalmlp", FinalMLPInteraction, BilinearFusion)
