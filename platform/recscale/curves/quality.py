"""Quality of stored predictions, without torch: an exact AUC and the rest in float64, as training has them.

Legend: B rows, U distinct scores.
"""

import numpy as np
from numpy.typing import NDArray

from recscale.curves.laws import Array
from recscale.errors import DataError
from recscale.records import Metrics


def score_logits(logit_B: NDArray[np.float64], label_B: NDArray[np.integer]) -> Metrics:
    """All metrics of one split. DataError where the labels are all of one class."""
    return Metrics.of(
        auc=roc_auc(logit_B, label_B),
        log_loss=float((np.logaddexp(0, logit_B) - label_B * logit_B).mean()),
        base_rate=float(label_B.mean()),
        mean_probability=float(np.exp(-np.logaddexp(0, -logit_B)).mean()),
    )


def roc_auc(score_B: NDArray[np.floating], label_B: NDArray[np.integer]) -> float:
    """Area under the ROC curve, ties half: the positives' ranks less those they have among themselves (Mann-Whitney).

    Raises DataError where the labels are all of one class. Ranks are whole or half numbers, so the
    sum of some 90 million of them is exact.
    """
    positive_B = label_B > 0
    positives = int(positive_B.sum())
    negatives = len(label_B) - positives
    if positives == 0 or negatives == 0:
        raise DataError(f"AUC needs rows of both classes; got {positives} positive and {negatives} negative rows")
    pairs = float(ranks(score_B)[positive_B].sum()) - positives * (positives + 1) / 2
    return pairs / (positives * negatives)


def ranks(score_B: NDArray[np.floating]) -> Array:
    """Ranks from 1, ties at their mean: what scipy.stats.rankdata gives, without scipy.stats's slow import."""
    _, place_B, count_U = np.unique(score_B, return_inverse=True, return_counts=True)
    mean_U: Array = np.cumsum(count_U) - (count_U - 1) / 2
    return mean_U[place_B]
