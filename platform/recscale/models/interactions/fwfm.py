"""FwFM: inner products weighted per pair of fields, and a linear term (Pan et al. 2018), no hidden layers.

Legend: M embedding sets, B batch, N fields, K embedding dimension per set.
"""

from torch import Tensor

from recscale.models.families import Family, Interaction
from recscale.models.layers import LinearTerm, SumHead
from recscale.models.pairs import PairWeights, weighted_products
from recscale.records import ModelSpec


class FwFMInteraction(Interaction):
    """<w, e> + sum_{i<j} r_ij <e_i, e_j> (sec. 3 of the source; linear terms by feature embedding).

    Where all sets have the same r, the mean over M sets of K is 1/M of the one FwFM of M*K columns.
    """

    def __init__(self, spec: ModelSpec, num_fields: int) -> None:
        super().__init__()
        self.widths = (1,)
        self.linear = LinearTerm(spec.num_sets, num_fields * spec.embed_dim)
        self.field_weights = PairWeights(spec.num_sets, num_fields)

    def forward(self, emb_MBNK: Tensor) -> tuple[Tensor]:
        """One feature [M, B, 1]."""
        pairs_MB1 = weighted_products(self.field_weights(), emb_MBNK).sum(2, keepdim=True)
        return (self.linear(emb_MBNK) + pairs_MB1,)

    def patterns(self) -> Tensor:
        """The field weights r_MNN."""
        r_MNN: Tensor = self.field_weights()
        return r_MNN


FAMILY = Family("fwfm", FwFMInteraction, SumHead)
