"""FM: the sum of all inner products and a linear term (Rendle 2010), no hidden layers.

The linear term is <w, e> over the embeddings, so that a set is nothing but its vectors (FwFM's linear terms by feature
embedding; Pan et al. 2018, sec. 3). Legend: M embedding sets, B batch, N fields, K embedding dimension per set.
"""

from torch import Tensor

from recscale.models.families import Family, Interaction
from recscale.models.layers import LinearTerm, SumHead
from recscale.models.pairs import inner_products
from recscale.records import ModelSpec


class FMInteraction(Interaction):
    """<w, e> + sum_{i<j} <e_i, e_j> (eq. 1 of the source).

    A quadratic form splits over columns: the mean over M sets of K is 1/M of the one FM of M*K columns.
    """

    def __init__(self, spec: ModelSpec, num_fields: int) -> None:
        super().__init__()
        self.widths = (1,)
        self.linear = LinearTerm(spec.num_sets, num_fields * spec.embed_dim)

    def forward(self, emb_MBNK: Tensor) -> tuple[Tensor]:
        """One feature [M, B, 1]."""
        return (self.linear(emb_MBNK) + inner_products(emb_MBNK),)


FAMILY = Family("fm", FMInteraction, SumHead)
