"""Metrics of a spectrum, and spectra of tables.

Legend: D rows of a table, P its columns; `spectrum_P` singular values, descending, float64.
A table of zeros has no direction: every metric of an all-zero spectrum is defined as 0.
"""

import numpy as np
import torch
from numpy.typing import NDArray

Spectrum = NDArray[np.float64]


def information_abundance(spectrum_P: Spectrum) -> float:
    """IA = sum s / max s, between 1 and the rank (Guo et al. 2024, Definition 1)."""
    scaled_P = _over_largest(spectrum_P)
    return float(scaled_P.sum())


def effective_rank(spectrum_P: Spectrum) -> float:
    """exp of the entropy of s / sum s, between 1 and the rank (Roy and Vetterli 2007)."""
    scaled_P = _over_largest(spectrum_P)
    if not scaled_P.any():
        return 0.0
    share_P = scaled_P / scaled_P.sum()
    share_P = share_P[share_P > 0]
    return float(np.exp(-(share_P * np.log(share_P)).sum()))


def stable_rank(spectrum_P: Spectrum) -> float:
    """sum s^2 / max s^2, the squared Frobenius norm over the squared operator norm; never above IA."""
    scaled_P = _over_largest(spectrum_P)
    return float((scaled_P**2).sum())


def participation_ratio(spectrum_P: Spectrum) -> float:
    """(sum s^2)^2 / sum s^4, between 1 and the rank."""
    energy_P = _over_largest(spectrum_P) ** 2
    if not energy_P.any():
        return 0.0
    return float(energy_P.sum() ** 2 / (energy_P**2).sum())


def spectrum_of_rows(table_DP: torch.Tensor) -> Spectrum:
    """Singular values of a float64 table by a direct SVD, padded with zeros to P entries."""
    values = torch.linalg.svdvals(table_DP).cpu().numpy()
    spectrum_P = np.zeros(table_DP.shape[1])
    spectrum_P[: len(values)] = values
    return spectrum_P


def spectrum_of_gram(gram_PP: torch.Tensor) -> Spectrum:
    """Singular values of a table from its float64 Gram matrix E^T E.

    An eigenvalue below P * eps times the largest is rounding and counts as 0, so singular values below about 1.5e-7 of
    the largest (P = 100) are not resolved; their part in IA is at most P times that.
    """
    eigenvalues_P = torch.linalg.eigvalsh(gram_PP).flip(0).cpu().numpy()
    floor = len(eigenvalues_P) * np.finfo(np.float64).eps * max(float(eigenvalues_P[0]), 0.0)
    spectrum_P: Spectrum = np.sqrt(np.where(eigenvalues_P > floor, eigenvalues_P, 0.0))
    return spectrum_P


def _over_largest(spectrum_P: Spectrum) -> Spectrum:
    """The spectrum divided by its largest value, or zeros where that is 0."""
    largest = spectrum_P.max(initial=0.0)
    return spectrum_P / largest if largest > 0 else np.zeros_like(spectrum_P)
