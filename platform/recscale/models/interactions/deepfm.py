"""DeepFM: an FM beside a DNN on the same embeddings (Guo et al. 2017).

Legend: M embedding sets, B batch, N fields, K embedding dimension per set, H hidden.
"""

from torch import Tensor, nn

from recscale.models.families import Family, Interaction
from recscale.models.layers import LinearTerm, MLPHead, SetProjection, flat_fields
from recscale.models.pairs import inner_products
from recscale.records import ModelSpec


class DeepFMInteraction(Interaction):
    """Two streams: the FM's sum (eq. 2 of the source; its linear term over embeddings), and the DNN's projection."""

    def __init__(self, spec: ModelSpec, num_fields: int) -> None:
        super().__init__()
        self.widths = (1, spec.hidden_sizes[0])
        inputs = num_fields * spec.embed_dim
        self.linear = LinearTerm(spec.num_sets, inputs)
        self.projection = SetProjection(spec.num_sets, inputs, spec.hidden_sizes[0], spec.dropout)

    def forward(self, emb_MBNK: Tensor) -> tuple[Tensor, Tensor]:
        """The FM's feature [M, B, 1] and h_MBH."""
        fm_MB1 = self.linear(emb_MBNK) + inner_products(emb_MBNK)
        return fm_MB1, self.projection(flat_fields(emb_MBNK))


class DeepFMHead(nn.Module):
    """logit = FM + MLP(DNN stream) (eq. 1 of the source)."""

    def __init__(self, spec: ModelSpec, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.mlp = MLPHead(spec, widths[1:])

    def forward(self, streams: tuple[Tensor, Tensor]) -> Tensor:
        """logit_B."""
        fm_BF, hidden_BH = streams
        logit_B: Tensor = fm_BF.sum(1) + self.mlp((hidden_BH,))
        return logit_B


FAMILY = Family("deepfm", DeepFMInteraction, DeepFMHead)
