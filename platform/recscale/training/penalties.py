"""Penalties in training: a weighted term of the loss, and the refusal of models that lack what it is about.

Legend: M embedding sets, B batch, N fields, V table rows, U rows that a batch touches, Z vectors of an id (1, but for
families with a vector against every other field), K columns of a vector, W = Z*K, T = N*Z tables of vectors: what is
about a table is about each of those.
"""
# ruff: noqa: N815

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recscale.collapse.penalties import (
    best_lambda,
    orthogonality,
    pattern_spread,
    spectrum_flattening,
    subspace_similarity,
    table_grams,
    vector_products,
)
from recscale.errors import ConfigError
from recscale.models.families import Interaction, built_interaction, get_family
from recscale.models.model import MultiEmbeddingModel
from recscale.models.sets import interaction_spec
from recscale.models.tables import EmbeddingTables, GradientLayout
from recscale.records import ModelSpec, Penalty, TrainSpec
from recscale.training.touched import RowFinder, TouchedRows

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

    def before_step(self, tables: EmbeddingTables, ids_BN: Tensor) -> None:
        """Called before a step on a batch, and before the batch's rows make the steps that they have deferred."""

    def after_step(self, tables: EmbeddingTables) -> None:
        """Called after the optimizer's step."""

    def tables_settled(self, tables: EmbeddingTables) -> None:
        """Called after deferred steps of all rows."""


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
        return self.weight * subspace_similarity(by_vector(emb_MBNK, model.vectors_per_id).flatten(2, 3))


class _RowsBefore(NamedTuple):
    """Rows of a batch before its step, deferred ones included."""

    row_L: Tensor
    """Looked-up rows."""
    touched: TouchedRows
    """Each of them once."""
    old_UW: Tensor
    """What those held."""


class SpectrumFlatteningPenalty(TrainingPenalty):
    """The singular values of every table towards each other, by a gradient in closed form on the rows of the batch.

    Autograd through the tables would give a gradient on every row. Here the gradient of row e of table t is e G_t, with
    G_t decomposed anew every REFRESH_STEPS steps; a sparse gradient stays sparse, a dense one gets it on all rows.
    Gram matrices follow the rows that a sparse step moves; after a dense one they are multiplied out when needed. Where
    steps are deferred, they are of the tables as rows were last moved, until an evaluation settles them.
    """

    value: Tensor
    gram_TKK: Tensor
    factor_TKK: Tensor

    def __init__(self, weight: float, model: MultiEmbeddingModel) -> None:
        super().__init__(weight)
        self.vectors_per_id = model.vectors_per_id
        # Buffers, so that a resumed run goes on with the decomposition that it was interrupted with.
        self.register_buffer("value", torch.zeros(()))
        self.register_buffer("gram_TKK", self._grams(model.tables))
        self.register_buffer("factor_TKK", torch.zeros_like(self.gram_TKK, dtype=torch.float32))
        self._finder = RowFinder()
        self._before: _RowsBefore | None = None

    def forward(self, model: MultiEmbeddingModel, emb_MBNK: Tensor, step: int) -> Tensor:
        """weight * the flattening of the newest decomposition, a constant to autograd."""
        if step % REFRESH_STEPS == 0:
            self._refresh(model.tables)
        return self.weight * self.value

    @torch.no_grad()
    def _refresh(self, tables: EmbeddingTables) -> None:
        if tables.gradient_layout is GradientLayout.DENSE:
            self.gram_TKK.copy_(self._grams(tables))
        size_N = torch.tensor(tables.vocabulary_sizes, device=self.value.device)
        rank_T = size_N.clamp(max=self.gram_TKK.shape[1]).repeat_interleave(self.vectors_per_id)
        flattening = spectrum_flattening(self.gram_TKK, rank_T)
        self.value.copy_(flattening.value)
        self.factor_TKK.copy_(flattening.factor_TKK)

    @torch.no_grad()
    def before_step(self, tables: EmbeddingTables, ids_BN: Tensor) -> None:
        """Keeps the rows of a sparse gradient as the Gram matrices know them."""
        if tables.gradient_layout is GradientLayout.SPARSE:
            row_L = tables.rows_of(ids_BN)
            touched = self._finder.find(row_L, tables.weight, tables.offsets_N)
            self._before = _RowsBefore(row_L, touched, tables.weight.index_select(0, touched.row_U))

    @torch.no_grad()
    def add_table_gradient(self, tables: EmbeddingTables) -> None:
        """Adds weight * e G_t to every row of a dense gradient, or once to the touched rows of a sparse one."""
        weight_VW, grad = tables.weight, tables.weight.grad
        assert grad is not None
        if not grad.is_sparse:
            grad.add_(self._push(weight_VW, list(tables.vocabulary_sizes)))
            return
        assert self._before is not None
        touched = self._before.touched
        push_UW = self._push(weight_VW.index_select(0, touched.row_U), touched.sizes)
        row_L = grad._indices()[0]
        if torch.equal(row_L, self._before.row_L):
            grad._values().index_add_(0, touched.place_U, push_UW)
            return
        # Gradients of several workers: the same rows at other places.
        found = self._finder.find(row_L, weight_VW, tables.offsets_N)
        grad._values().index_add_(0, found.place_U[found.row_U.argsort()], push_UW[touched.row_U.argsort()])

    @torch.no_grad()
    def after_step(self, tables: EmbeddingTables) -> None:
        """Adds what the touched rows changed to the Gram matrices: N^T N - O^T O, symmetric part of (N-O)^T (N+O)."""
        if self._before is None:
            return
        (_, touched, old_UW), self._before = self._before, None
        moves = self._finder.moves(touched.row_U, tables.weight, old_UW)
        parts = (torch.split(by_vector(move_UW, self.vectors_per_id), touched.sizes) for move_UW in moves)
        products = map(vector_products, *parts)
        half_TKK = torch.cat(list(products)).double() / 2
        self.gram_TKK.add_(half_TKK + half_TKK.mT)

    @torch.no_grad()
    def tables_settled(self, tables: EmbeddingTables) -> None:
        """Multiplies the Gram matrices out anew."""
        self.gram_TKK.copy_(self._grams(tables))

    def _push(self, row_UW: Tensor, sizes: list[int]) -> Tensor:
        """weight * e G_t of rows e, `sizes` of them of every field."""
        push_UW = torch.empty_like(row_UW)
        rows_UZK, push_UZK = (by_vector(part_UW, self.vectors_per_id) for part_UW in (row_UW, push_UW))
        factors = torch.split(self.weight * self.factor_TKK, self.vectors_per_id)
        for from_UZK, to_UZK, factor_ZKK in zip(
            torch.split(rows_UZK, sizes), torch.split(push_UZK, sizes), factors, strict=True
        ):
            torch.bmm(from_UZK.transpose(0, 1), factor_ZKK, out=to_UZK.transpose(0, 1))
        return push_UW

    def _grams(self, tables: EmbeddingTables) -> Tensor:
        return table_grams(tables.weight.detach(), tables.vocabulary_sizes, self.vectors_per_id)


def by_vector(rows: Tensor, vectors_per_id: int) -> Tensor:
    """The last dimension W as [Z, K]."""
    return rows.view(*rows.shape[:-1], vectors_per_id, rows.shape[-1] // vectors_per_id)


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
    return SpectrumFlatteningPenalty(weight, model)


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
    if penalty is Penalty.ORTHOGONALITY:
        blocks_MNNJK = _on_meta(model, num_fields).cross_blocks()
        if blocks_MNNJK is None or not blocks_MNNJK.requires_grad:
            return "it trains no cross_blocks(); choose a family with cross matrices, e.g. dcnv2"
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
