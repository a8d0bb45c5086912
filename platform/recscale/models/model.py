"""The one model: tables -> an interaction per set -> mean over sets -> shared head; M = 1 is single-embedding.

Legend: B batch, N fields, M embedding sets, K embedding dimension per set, H hidden.
"""

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from recscale.models.families import built_interaction, get_family
from recscale.models.sets import Across, alone, interact, interaction_spec, join, joined_widths
from recscale.models.specs import check_spec
from recscale.models.tables import EmbeddingTables, GradientLayout
from recscale.records import ModelSpec


class MultiEmbeddingModel(nn.Module):
    """Multi-embedding of any family: sets are averaged as hidden features, not as logits (Guo et al. 2024, sec. 5)."""

    def __init__(
        self,
        spec: ModelSpec,
        vocabulary_sizes: Sequence[int],
        gradient_layout: GradientLayout = GradientLayout.SPARSE,
        tables: EmbeddingTables | None = None,
    ) -> None:
        """With `tables`, those instead of tables of its own."""
        check_spec(spec)
        super().__init__()
        family = get_family(spec.family)
        num_fields = len(vocabulary_sizes)
        self.spec, self.vectors_per_id = spec, family.vectors_per_id(num_fields)
        self.across: Across = alone
        if tables is None:
            columns = table_columns(spec, num_fields)
            tables = EmbeddingTables(vocabulary_sizes, spec.table_sets, columns, gradient_layout)
        self.tables = tables
        self.interaction = built_interaction(family, interaction_spec(spec), num_fields)
        self.head = family.build_head(spec, joined_widths(self.interaction.widths, spec))

    def forward(self, ids_BN: Tensor) -> Tensor:
        """logit_B in float32, under autocast too; no sigmoid."""
        return self.score(self.tables(ids_BN))

    def score(self, emb_MBNK: Tensor) -> Tensor:
        """logit_B of a batch's vectors, as the tables give them."""
        streams_MBH = interact(self.interaction, emb_MBNK, self.spec)
        return join(self.head, streams_MBH, self.spec.combination, self.across).float()

    def dense_parameters(self) -> Iterator[nn.Parameter]:
        """Every parameter but the table."""
        return (parameter for parameter in self.parameters() if parameter is not self.tables.weight)


def table_columns(spec: ModelSpec, num_fields: int) -> int:
    """Columns that a set has per id."""
    return spec.embed_dim * get_family(spec.family).vectors_per_id(num_fields)
