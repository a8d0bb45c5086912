"""Penalties that ablations add to the training loss, as functions of tensors (Guo et al. 2024, Evidence III, analysis).

Legend: M embedding sets, B batch, N fields, K columns of a set's table, J columns of what a field shows to another,
D rows of a field's table, R = min(D, K) its singular values, P = M*K, T tables (one per field; more where an id has
several vectors, each a table of its own).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

SUBSPACE_RIDGE = 1e-4
"""Added to every eigenvalue of a set's Gram matrix, as a share of their mean: a direction whose singular value is
below 1 % of the root mean square hardly counts as spanned, and float32 can whiten the rest."""
SUBSPACE_ROWS_PER_DIM = 32
"""Rows of a batch that are enough: unrelated spaces of K dimensions among B rows are similar by K / B, here 3 %."""
SMALLEST_SINGULAR_VALUE = 1e-3
"""As a share of the largest: below it the push on a direction fades, for products in float32 do not resolve it."""
TINY = 1e-14
"""Keeps a table of zeros, whose similarity to any other is 0, from dividing by it."""
GRAM_ENTRIES = 2**15
"""Entries of a table that are multiplied at a time, in float32: they stay in cache, and the sum is in float64."""


def orthogonality(blocks_MNNJK: Tensor, lambda_MNN: Tensor) -> Tensor:
    """l_reg = sum_{m,i,j} || W_{i->j}^T W_{i->j} - lambda_ij I ||_F^2, lambda learnable.

    Guo et al. 2024, Evidence III, where M = 1. Every set has its own lambda: one for all sets would draw their patterns
    together as well.
    """
    blocks_QJK = blocks_MNNJK.flatten(0, 2)
    gram_QKK = torch.bmm(blocks_QJK.transpose(1, 2), blocks_QJK)
    identity_KK = torch.eye(gram_QKK.shape[1], dtype=gram_QKK.dtype, device=gram_QKK.device)
    return torch.addcmul(gram_QKK, lambda_MNN.reshape(-1, 1, 1), identity_KK, value=-1).square().sum()


def best_lambda(blocks_MNNJK: Tensor) -> Tensor:
    """lambda_MNN that minimises `orthogonality` for given blocks: tr(W^T W) / K."""
    return blocks_MNNJK.square().sum((3, 4)) / blocks_MNNJK.shape[4]


def pattern_spread(patterns_MNN: Tensor) -> Tensor:
    """sum_ij Var_m p_ij^(m) of the patterns p_ij^(m) = ||W_{i->j}^(m)||_F, the variance over sets with 1 / M."""
    return patterns_MNN.var(0, correction=0).sum()


def subspace_similarity(emb_MBNK: Tensor) -> Tensor:
    """Mean over fields and pairs of sets of the similarity of the sets' column spaces in a batch, from 0 to 1.

    The column space of set m is that of X_m [B, K], the first SUBSPACE_ROWS_PER_DIM * K rows of the batch, with the
    projector P_m = X_m (X_m^T X_m + r I)^-1 X_m^T, r by SUBSPACE_RIDGE. The similarity is tr(P_m P_n) / (||P_m||_F
    ||P_n||_F): where all K directions are spanned, that is ||U_m^T U_n||_F^2 / K, the mean squared cosine of the
    principal angles. (The mean cosine itself, by which set diversity is measured, has no derivative where two angles
    are equal; the squares fall and rise with it.)
    tr(P_m P_n) = ||L_m^-1 G_mn L_n^-T||_F^2 with G_mn = X_m^T X_n and L_m L_m^T = G_mm + r I: nothing of size B x B.
    """
    sets, _, _, dim = emb_MBNK.shape
    sample_MBNK = _exact(emb_MBNK[:, : SUBSPACE_ROWS_PER_DIM * dim])
    gram_NPP: Tensor = _FieldGrams.apply(sample_MBNK)  # type: ignore[no-untyped-call]
    gram_NMMKK = gram_NPP.view(-1, sets, dim, sets, dim).transpose(2, 3)
    own_NMKK = gram_NMMKK.diagonal(dim1=1, dim2=2).movedim(3, 1)
    ridge_NM = SUBSPACE_RIDGE * own_NMKK.diagonal(dim1=2, dim2=3).mean(2) + TINY
    identity_KK = torch.eye(dim, dtype=own_NMKK.dtype, device=own_NMKK.device)
    # Without check_errors a table that is not finite gives a loss that is not, which training reports by its step.
    lower_NMKK = torch.linalg.cholesky_ex(own_NMKK + ridge_NM[..., None, None] * identity_KK).L
    whitener_NMKK = torch.linalg.solve_triangular(lower_NMKK, identity_KK.expand_as(lower_NMKK), upper=False)
    overlap_NMMKK = whitener_NMKK[:, :, None] @ gram_NMMKK @ whitener_NMKK[:, None].mT
    energy_NMM = overlap_NMMKK.square().sum((3, 4))
    norm_NM = energy_NMM.diagonal(dim1=1, dim2=2).add(TINY).sqrt()
    similarity_NMM = energy_NMM / (norm_NM[:, :, None] * norm_NM[:, None])
    others_N = similarity_NMM.sum((1, 2)) - similarity_NMM.diagonal(dim1=1, dim2=2).sum(1)
    similarity: Tensor = others_N.mean() / (sets * (sets - 1))
    return similarity


class _FieldGrams(torch.autograd.Function):
    """Gram matrices gram_NPP of every field's vectors, all sets side by side.

    What autograd would do with one product less, since both factors are the same: dX = X (dG + dG^T). It takes two
    thirds of the time on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, emb_MBNK: Tensor) -> Tensor:
        stacked_BNP = emb_MBNK.permute(1, 2, 0, 3).flatten(2)
        ctx.save_for_backward(stacked_BNP)
        ctx.sets = emb_MBNK.shape[0]
        return torch.bmm(stacked_BNP.permute(1, 2, 0), stacked_BNP.transpose(0, 1))

    @staticmethod
    def backward(ctx: Any, grad_NPP: Tensor) -> Tensor:
        (stacked_BNP,) = ctx.saved_tensors
        grad_NBP = torch.bmm(stacked_BNP.transpose(0, 1), grad_NPP + grad_NPP.mT)
        return grad_NBP.view(*grad_NBP.shape[:2], ctx.sets, -1).permute(2, 1, 0, 3)


@dataclass(frozen=True)
class Flattening:
    """Spectrum flattening of all fields, in closed form."""

    value: Tensor
    """mean_i Var_k(s_k / mean s), k over the R_i singular values of field i, the variance with 1 / R_i."""
    factor_TKK: Tensor  # noqa: N815
    """G_i, so that the gradient with respect to table E_i is E_i G_i."""


def spectrum_flattening(gram_TKK: Tensor, rank_T: Tensor) -> Flattening:
    """Spectrum flattening from the tables' float64 Gram matrices E_i^T E_i = V S^2 V^T and R_i = min(D_i, K).

    f_i = Var_k(s_k / mean s) = R S2 / S1^2 - 1 with S1 = sum s, S2 = sum s^2, so df_i/ds_k = 2 R / S1^2 (s_k - S2 / S1)
    and, since ds_k/dE = u_k v_k^T = E v_k v_k^T / s_k: G_i = V diag(2 R / S1^2 (1 - S2 / (S1 s_k))) V^T / N.
    A table of zeros has no direction to push: its G_i is 0. Of Gram matrices that are not finite the value is NaN.
    """
    tables, dim, _ = gram_TKK.shape
    energy_TK, right_TKK = torch.linalg.eigh(gram_TKK.nan_to_num(0, 0, 0))
    counted_TK = torch.arange(dim, 0, -1, device=rank_T.device) <= rank_T[:, None]
    s_TK = torch.where(counted_TK, energy_TK, 0.0).clamp(min=0).sqrt()
    s1_T1, s2_T1 = s_TK.sum(1, keepdim=True), s_TK.square().sum(1, keepdim=True)
    s1_T1 = torch.where(s1_T1 > 0, s1_T1, torch.inf)
    floor_T1 = SMALLEST_SINGULAR_VALUE * s_TK[:, -1:] + torch.finfo(s_TK.dtype).tiny
    slope_TK = 2 * rank_T[:, None] / s1_T1**2 * (1 - s2_T1 / s1_T1 / s_TK.maximum(floor_T1))
    weighted_TKK = right_TKK * torch.where(counted_TK, slope_TK, 0.0)[:, None] / tables
    value_T = (rank_T * (s2_T1 / s1_T1**2)[:, 0] - 1).clamp(min=0)
    return Flattening(value_T.mean() + 0 * gram_TKK.sum(), weighted_TKK @ right_TKK.mT)


def table_grams(weight_VW: Tensor, vocabulary_sizes: Sequence[int], vectors_per_id: int = 1) -> Tensor:
    """Gram matrices gram_TKK of every field's vectors, in float64; Z vectors of an id side by side, T = N*Z."""
    chunk_rows = max(1, GRAM_ENTRIES // weight_VW.shape[1])
    grams = []
    for table_DW in torch.split(weight_VW, list(vocabulary_sizes)):
        chunks = torch.split(table_DW.view(len(table_DW), vectors_per_id, -1), chunk_rows)
        products = [vector_products(chunk_CZK, chunk_CZK) for chunk_CZK in chunks]
        grams.append(torch.stack(products).sum(0, dtype=torch.float64))
    return torch.cat(grams)


def vector_products(left_CZK: Tensor, right_CZK: Tensor) -> Tensor:
    """sum_c left_cz^T right_cz, [Z, K, K]."""
    return torch.bmm(_exact(left_CZK).permute(1, 2, 0), _exact(right_CZK).transpose(0, 1))


def _exact(values: Tensor) -> Tensor:
    """Float64 on an accelerator, where products of float32 may be in TF32; the values themselves on a CPU."""
    return values if values.is_cpu else values.double()
