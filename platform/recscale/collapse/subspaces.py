"""Set diversity: how far the column spaces of two embedding sets of one field lie apart.

Legend: D ids of the field, M sets, K embedding dimension per set. The column space of a set is spanned by its left
singular vectors U_m; the cosines of the principal angles between two sets are the singular values of U_m^T U_m'.
Directions with a singular value below RANK_TOLERANCE of the set's largest are left out: the Gram route resolves the
others to about 1e-4 or better. Two sets are compared on as many angles as the smaller of the two spaces has directions.
"""

from itertools import combinations
from statistics import fmean

import torch

RANK_TOLERANCE = 1e-5
"""Smallest singular value, as a share of the largest, whose direction belongs to a set's column space."""


def diversity_of_rows(sets_MDK: torch.Tensor) -> float | None:
    """1 - mean cosine over pairs of sets, from the float64 tables; None with fewer than two non-zero sets."""
    left_MDR, values_MR, _ = torch.linalg.svd(sets_MDK, full_matrices=False)
    kept_MR = values_MR > RANK_TOLERANCE * values_MR[:, :1]
    basis_MDR = left_MDR * kept_MR[:, None, :]
    overlaps_MMRR = torch.einsum("mda,ndb->mnab", basis_MDR, basis_MDR)
    return _diversity(overlaps_MMRR, kept_MR)


def diversity_of_gram(gram_PP: torch.Tensor, num_sets: int) -> float | None:
    """1 - mean cosine over pairs of sets, from the float64 Gram matrix of the concatenated sets, P = M*K.

    U_m = E_m V_m S_m^-1 with E_m^T E_m = V_m S_m^2 V_m^T, so U_m^T U_n = S_m^-1 V_m^T (E_m^T E_n) V_n S_n^-1.
    """
    embed_dim = gram_PP.shape[0] // num_sets
    blocks_MMKK = gram_PP.reshape(num_sets, embed_dim, num_sets, embed_dim).permute(0, 2, 1, 3)
    diagonal_MKK = torch.stack([blocks_MMKK[index, index] for index in range(num_sets)])
    energy_MK, right_MKK = torch.linalg.eigh(diagonal_MKK)
    kept_MK = energy_MK > RANK_TOLERANCE**2 * energy_MK[:, -1:].clamp(min=0)
    inverse_MK = torch.where(kept_MK, energy_MK, torch.inf).rsqrt()
    whiten_MKK = right_MKK * inverse_MK[:, None, :]
    overlaps_MMKK = torch.einsum("mka,mnkl,nlb->mnab", whiten_MKK, blocks_MMKK, whiten_MKK)
    return _diversity(overlaps_MMKK, kept_MK)


def _diversity(overlaps_MMRR: torch.Tensor, kept_MR: torch.Tensor) -> float | None:
    """1 - the mean over pairs of the mean cosine of their principal angles."""
    ranks = kept_MR.sum(dim=1).tolist()
    pairs = [pair for pair in combinations(range(len(ranks)), 2) if min(ranks[pair[0]], ranks[pair[1]]) > 0]
    if not pairs:
        return None
    first, second = zip(*pairs, strict=True)
    cosines: list[list[float]] = torch.linalg.svdvals(overlaps_MMRR[list(first), list(second)]).clamp(max=1.0).tolist()
    angles = [min(ranks[m], ranks[n]) for m, n in pairs]
    return 1.0 - fmean(fmean(values[:count]) for values, count in zip(cosines, angles, strict=True))
