"""Penalties in training: a weighted term of the loss, and the refusal of models that lack what it is about.

Legend: M embedding sets, B batch, N fields, K columns of a set's table, V table rows, U rows that a batch touches.
"""

import math
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor, nn

from recscale.collapse.penalties import (
    best_lambda,
    orthogonality,
    pattern_spread,
    spectrum_flattening,
    subspace_similarity,
    table_grams,
)
from recscale.errors import ConfigError
from recscale.models.families import Interaction, built_interaction, get_family
from recscale.models.model import MultiEmbeddingModel
from recscale.models.sets import interaction_spec
from recscale.models.tables import EmbeddingTables
from recscale.records import ModelSpec, Penalty, TrainSpec

DEFAULT_WEIGHTS = {
    Penalty.ORTHOGONALITY: 3e-5,
    Penalty.PATTERN_ALIGNMENT: 1.0,
    Penalty.SUBSPACE_SIMILARITY: 1e-4,
    Penalty.SPECTRUM_FLATTENING: 1e-2,
}
"""Where penalty_weight is not given. Alignment as the paper; similarity the middle of its 1e-5 to 1e-3; orthogonality
between the 1e-5 and 1e-4 of its released code. For flattening no weight is published: of 1e-3, 1e-2 and 0.1 this is
the smallest that moved IA/K by more than a few percent (dcnv2 at scale 4 on the embedded world: 0.26 to 0.32)."""
REFRESH_STEPS = 4
"""Steps between two decompositions of the tables for spectrum flattening. Measured on 6,000 rows of the embedded world
(38 steps of lazy Adam at 3e-3, weight 0.1): the variance that it makes small ends at 0.026 with 1 and at 0.039 with 4,
but at 0.361 with 16, above the 0.188 of no penalty: steps along an old decomposition overshoot."""


class TrainingPenalty(nn.Module):
    """A term of the training loss; this one is none. Its own parameters are trained with the model's dense ones."""

    def __init__(self, weight: float = 0.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, model: MultiEmbeddingModel, emb_MBNK: Tensor, step: int) -> Tensor:
        """The weighted term of step `step`, a scalar on the model's device."""
        return emb_MBNK.new_zeros(())

    def add_table_gradient(self, tables: EmbeddingTables) -> None:
        """Adds to the tables' gradient, after the backward pass, what the term does not carry through autograd."""


class OrthogonalityPenalty(TrainingPenalty):
    """Cross blocks towards scaled rotations; lambda starts where it is best for the initial blocks."""

    def __init__(self, weight: float, model: MultiEmbeddingModel) -> None:
        super().__init__(weight)
        self.lambda_MNN = nn.Parameter(best_lambda(_cross_blocks(model.interaction).detach()))

    def forward(self, model: MultiEmbeddingModel, emb_MBNK: Tensor, step: int) -> Tensor:
        """weight * l_reg."""
        return self.weight * orthogonality(_cross_blocks(model.interaction), self.lambda_MNN)


class PatternAlignmentPenalty(TrainingPenalty):
    """The sets' interaction patterns towards each other."""

    def forward(self, model: MultiEmbeddingModel, emb_MBNK: Tensor, step: int) -> Tensor:
        """weight * the patterns' spread over sets."""
        patterns_MNN = model.interaction.patterns()
        assert patterns_MNN is not None
        return self.weight * pattern_spread(patterns_MNN)


class SubspaceSimilarityPenalty(TrainingPenalty):
    """The sets' embeddings of a batch away from each other's column spaces."""

    def forward(self, model: MultiEmbeddingModel, emb_MBNK: Tensor, step: int) -> Tensor:
        """weight * the similarity, in float32 whatever the precision of the model."""
        return self.weight * subspace_similarity(emb_MBNK)


class SpectrumFlatteningPenalty(TrainingPenalty):
    """The singular values of every table towards each other, by a gradient in closed form on the rows of the batch.

    Autograd through the tables would give a gradient on every row. Here the gradient of row e of field i is e G_i, with
    G_i decomposed anew every REFRESH_STEPS steps; a sparse gradient stays sparse, a dense one gets it on all rows.
    """

    value: Tensor
    factor_NKK: Tensor  # noqa: N815

    def __init__(self, weight: float, tables: EmbeddingTables) -> None:
        super().__init__(weight)
        fields, dim = len(tables.vocabulary_sizes), tables.embed_dim
        # Buffers, so that a resumed run goes on with the decomposition that it was interrupted with.
        self.register_buffer("value", torch.zeros(()))
        self.register_buffer("factor_NKK", torch.zeros(fields, dim, dim))

    def forward(self, model: MultiEmbeddingModel, emb_MBNK: Tensor, step: int) -> Tensor:
        """weight * the flattening of the newest decomposition, a constant to autograd."""
        if step % REFRESH_STEPS == 0:
            self._refresh(model.tables)
        return self.weight * self.value

    @torch.no_grad()
    def _refresh(self, tables: EmbeddingTables) -> None:
        sizes = tables.vocabulary_sizes
        rank_N = torch.tensor(sizes, device=self.value.device).clamp(max=tables.embed_dim)
        flattening = spectrum_flattening(table_grams(tables.weight, sizes), rank_N)
        self.value.copy_(flattening.value)
        self.factor_NKK.copy_(flattening.factor_NKK)

    @torch.no_grad()
    def add_table_gradient(self, tables: EmbeddingTables) -> None:
        """Adds weight * e G_i to every row of a dense gradient, or to the touched rows of a sparse one."""
        weight_VK, grad = tables.weight, tables.weight.grad
        assert grad is not None
        if not grad.is_sparse:
            for field, factor_KK in zip(tables.field_slices(), self.factor_NKK, strict=True):
                grad[field].addmm_(weight_VK[field], factor_KK, alpha=self.weight)
            return
        tables.weight.grad = grad = grad.coalesce()
        row_U, value_UK = grad.indices()[0], grad.values()
        stops = torch.searchsorted(row_U, tables.offsets_N).tolist()
        for (start, stop), factor_KK in zip(pairwise([*stops, len(row_U)]), self.factor_NKK, strict=True):
            value_UK[start:stop].addmm_(weight_VK[row_U[start:stop]], factor_KK, alpha=self.weight)


def build_penalty(spec: TrainSpec, model: MultiEmbeddingModel) -> TrainingPenalty:
    """The term that a spec that passed `check_penalty` names; none where its weight is 0."""
    weight = DEFAULT_WEIGHTS.get(spec.penalty, 0.0) if spec.penalty_weight is None else spec.penalty_weight
    if spec.penalty is Penalty.NONE or weight == 0:
        return TrainingPenalty()
    if spec.penalty is Penalty.ORTHOGONALITY:
        return OrthogonalityPenalty(weight, model)
    if spec.penalty is Penalty.PATTERN_ALIGNMENT:
        return PatternAlignmentPenalty(weight)
    if spec.penalty is Penalty.SUBSPACE_SIMILARITY:
        return SubspaceSimilarityPenalty(weight)
    return SpectrumFlatteningPenalty(weight, model.tables)


@lru_cache(maxsize=4096)
def check_penalty(model: ModelSpec, penalty: Penalty, weight: float | None, num_fields: int) -> None:
    """Refuses a weight that is none and a model without what the penalty is about, before any memory is taken."""
    if weight is not None and not 0 <= weight < math.inf:
        raise ConfigError(f"penalty_weight is {weight:g}, expected 0 or more; leave it out for the usual one")
    lacking = _lacking(model, penalty, num_fields)
    if lacking:
        raise ConfigError(
            f"{model.family} at scale {model.scale:g} with {model.num_sets} sets does not admit the penalty "
            f"{penalty.value}: {lacking}"
        )


def _lacking(model: ModelSpec, penalty: Penalty, num_fields: int) -> str:
    """What a model lacks for a penalty and what to do about it; empty where it lacks nothing."""
    if penalty is Penalty.SUBSPACE_SIMILARITY and model.table_sets < 2:
        return "it has one set of tables, so no two to compare; use several sets with tables of their own"
    if penalty is Penalty.SPECTRUM_FLATTENING and model.table_sets > 1:
        return f"it has {model.table_sets} sets of tables, the penalty is about one; use num_sets 1"
    if penalty is Penalty.ORTHOGONALITY and _on_meta(model, num_fields).cross_blocks() is None:
        return "its interaction has no cross_blocks(); choose a family with cross matrices, e.g. dcnv2"
    if penalty is Penalty.PATTERN_ALIGNMENT:
        patterns_MNN = _on_meta(model, num_fields).patterns()
        if patterns_MNN is None:
            return "its interaction has no patterns(); choose a family that weighs pairs of fields, e.g. dcnv2"
        if len(patterns_MNN) < 2:
            return "it has one interaction, so nothing to align; use several sets with interactions of their own"
    return ""


def _on_meta(model: ModelSpec, num_fields: int) -> Interaction:
    """The model's interaction without memory."""
    with torch.device("meta"):
        return built_interaction(get_family(model.family), interaction_spec(model), num_fields)


def _cross_blocks(interaction: Interaction) -> Tensor:
    blocks_MNNJK = interaction.cross_blocks()
    assert blocks_MNNJK is not None
    return blocks_MNNJK
