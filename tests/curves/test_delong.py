"""DeLong's variance against the definition in O(n^2), scikit-learn's AUC, and the sampling it claims to describe."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from recscale.curves.delong import delong_covariance, placements
from recscale.errors import DataError


def kernel(score, label):
    """1 where a positive outscores a negative, 1/2 for ties [P, N]."""
    positive, negative = score[label == 1], score[label == 0]
    return (positive[:, None] > negative).astype(float) + 0.5 * (positive[:, None] == negative)


def by_definition(scores, label):
    """DeLong et al. 1988, equations 4 to 6."""
    kernels = [kernel(score, label) for score in scores]
    v10 = np.stack([each.mean(axis=1) for each in kernels])
    v01 = np.stack([each.mean(axis=0) for each in kernels])
    return np.atleast_2d(np.cov(v10)) / v10.shape[1] + np.atleast_2d(np.cov(v01)) / v01.shape[1]


@pytest.mark.parametrize("decimals", [8, 1, 0])
def test_covariance_is_that_of_the_definition_with_and_without_ties(decimals):
    rng = np.random.default_rng(decimals)
    label = (rng.random(300) < 0.3).astype(np.uint8)
    common = rng.standard_normal(300) + label
    scores = [np.round(common + rng.normal(0, size, 300), decimals) for size in (0.1, 0.5, 1.0)]
    parts = [placements(score, label) for score in scores]
    np.testing.assert_allclose(delong_covariance(parts), by_definition(scores, label), rtol=1e-10, atol=1e-16)
    for part, score in zip(parts, scores, strict=True):
        assert part.auc == pytest.approx(roc_auc_score(label, score), abs=1e-14)
        assert part.negative.mean() == pytest.approx(part.auc)


def test_the_variance_of_a_difference_is_that_of_its_placements():
    rng = np.random.default_rng(3)
    label = (rng.random(500) < 0.4).astype(np.uint8)
    first, second = (placements(rng.standard_normal(500) + shift * label, label) for shift in (1.0, 1.2))
    both = delong_covariance([first, second])
    alone = delong_covariance([second.minus(first)])[0, 0]
    assert alone == pytest.approx(both[0, 0] + both[1, 1] - 2 * both[0, 1])


def test_the_standard_error_is_the_spread_over_fresh_test_sets():
    rng = np.random.default_rng(4)
    found = []
    for _ in range(400):
        label = np.repeat([0, 1], [200, 100])
        part = placements(rng.standard_normal(300) + label, label)
        found.append((part.auc, delong_covariance([part])[0, 0]))
    aucs, variances = np.array(found).T
    assert np.sqrt(variances.mean()) == pytest.approx(aucs.std(), rel=0.1)


def test_float32_logits_of_a_whole_test_set_are_taken_as_they_are():
    rng = np.random.default_rng(5)
    score = rng.standard_normal(200_000).astype(np.float32)
    label = (rng.random(200_000) < 0.2).astype(np.uint8)
    assert placements(score, label).auc == pytest.approx(roc_auc_score(label, score), abs=1e-12)


@pytest.mark.parametrize(
    ("score", "label", "message"),
    [
        ([0.1, 0.2], [1], "expected one of each per row"),
        ([0.1, float("nan"), 0.3, 0.4], [1, 1, 0, 0], "a score is NaN"),
        ([0.1, 0.2, 0.3], [1, 0, 0], "got 1 positive and 2 negative rows"),
    ],
)
def test_what_has_no_variance_is_refused(score, label, message):
    with pytest.raises(DataError, match=message):
        placements(np.array(score), np.array(label))
