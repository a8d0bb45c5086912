"""Quality of predictions: exact AUC, log loss, normalized entropy and calibration, in float64 and on any device."""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from recscale.errors import DataError
from recscale.records import Metrics


def roc_auc(score_B: torch.Tensor, label_B: torch.Tensor) -> float:
    """Area under the ROC curve by counting ordered pairs in integers, so exact; a tie counts half.

    Raises DataError where the labels are all of one class. Equals the Mann-Whitney U statistic over P * (B - P).
    """
    positives = int((label_B > 0).sum())
    negatives = label_B.numel() - positives
    if positives == 0 or negatives == 0:
        raise DataError(f"AUC needs rows of both classes; got {positives} positive and {negatives} negative rows")
    sorted_B, order_B = torch.sort(score_B)
    _, count_G = torch.unique_consecutive(sorted_B, return_counts=True)
    end_G = torch.cumsum(count_G, 0)
    positive_G = _per_group(torch.cumsum((label_B[order_B] > 0).long(), 0), end_G)
    negative_G = count_G - positive_G
    below_G = torch.cumsum(negative_G, 0) - negative_G
    twice_pairs = int((positive_G * (2 * below_G + negative_G)).sum())
    return twice_pairs / (2 * positives * negatives)


def _per_group(cumulative_B: torch.Tensor, end_G: torch.Tensor) -> torch.Tensor:
    """Differences of a cumulative count at the ends of groups."""
    at_end_G = cumulative_B[end_G - 1]
    return torch.diff(at_end_G, prepend=at_end_G.new_zeros(1))


def log_loss(logit_B: torch.Tensor, label_B: torch.Tensor) -> float:
    """Mean binary cross-entropy of logits, in nats."""
    return float(binary_cross_entropy_with_logits(logit_B.double(), label_B.double()))


def score_predictions(logit_B: torch.Tensor, label_B: torch.Tensor) -> Metrics:
    """All metrics of one split; normalized entropy as He et al. 2014, calibration = mean prediction / base rate."""
    return Metrics.of(
        auc=roc_auc(logit_B, label_B),
        log_loss=log_loss(logit_B, label_B),
        base_rate=float(label_B.double().mean()),
        mean_probability=float(torch.sigmoid(logit_B.double()).mean()),
    )
