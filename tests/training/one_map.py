"""A family whose sets share a map that does not say so, as a user's own might."""

from torch import Tensor, nn

from recscale.models.families import Family, Interaction
from recscale.models.layers import SumHead, flat_fields
from recscale.records import ModelSpec


class OneMapInteraction(Interaction):
    """One feature, by the same map for every set."""

    def __init__(self, spec: ModelSpec, num_fields: int) -> None:
        super().__init__()
        self.widths = (1,)
        self.map = nn.Linear(num_fields * spec.embed_dim, 1)

    def forward(self, emb_MBNK: Tensor) -> tuple[Tensor]:
        """One stream [M, B, 1]."""
        return (self.map(flat_fields(emb_MBNK)),)


FAMILY = Family("tests.training.one_map", OneMapInteraction, SumHead)
