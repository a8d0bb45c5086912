"""The variance of an AUC from a finite test set, and the covariance of several on the same rows.

Legend: T score vectors (trials), B rows, P positive and N negative rows. DeLong et al. 1988; placements by midranks in
O(B log B) after Sun and Xu 2014 (IEEE Signal Processing Letters 21, 1389).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recscale.curves.laws import Array
from recscale.curves.quality import ranks
from recscale.errors import DataError


@dataclass(frozen=True)
class Placements:
    """Where each row of one score vector stands among the rows of the other class."""

    positive: Array
    """Share of negatives that each positive outscores, ties half [P]; its mean is the AUC."""
    negative: Array
    """Share of positives that outscore each negative, ties half [N]; its mean is the AUC."""

    @property
    def auc(self) -> float:
        """Area under the ROC curve, ties half."""
        return float(self.positive.mean())

    def minus(self, other: "Placements") -> "Placements":
        """The placements of a difference of two AUCs."""
        return Placements(self.positive - other.positive, self.negative - other.negative)


def placements(score_B: NDArray[np.floating], label_B: NDArray[np.integer]) -> Placements:
    """Placements of one score vector. DataError: sizes differ, a score is NaN, or fewer than two rows of a class."""
    if score_B.shape != label_B.shape or score_B.ndim != 1:
        raise DataError(f"scores of shape {score_B.shape}, labels of {label_B.shape}; expected one of each per row")
    if np.isnan(score_B).any():
        raise DataError("a score is NaN, expected a finite score of every row; run the trial again")
    positive = label_B > 0
    count_p, count_n = int(positive.sum()), int((~positive).sum())
    if min(count_p, count_n) < 2:
        raise DataError(f"got {count_p} positive and {count_n} negative rows; expected at least two of each class")
    together, of_p, of_n = ranks(score_B), ranks(score_B[positive]), ranks(score_B[~positive])
    return Placements((together[positive] - of_p) / count_n, 1 - (together[~positive] - of_n) / count_p)


def delong_covariance(parts: list[Placements]) -> Array:
    """Covariance [T, T] of AUCs (or of differences of them) on the same rows, by the finite test set."""
    total = np.zeros((len(parts), len(parts)))
    for rows in (np.stack([part.positive for part in parts]), np.stack([part.negative for part in parts])):
        total += np.atleast_2d(np.cov(rows)) / rows.shape[1]
    return total
