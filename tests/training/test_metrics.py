"""Metrics against scikit-learn, ties and edge cases included."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss as reference_log_loss
from sklearn.metrics import roc_auc_score

from recscale.errors import DataError
from recscale.records import base_entropy
from recscale.training.metrics import log_loss, roc_auc, score_predictions


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=60).filter(
        lambda rows: len({label for _, label in rows}) == 2
    )
)
def test_auc_with_ties_is_scikit_learns(rows: list[tuple[int, bool]]) -> None:
    score, label = (np.array(column) for column in zip(*rows, strict=True))
    got = roc_auc(torch.from_numpy(score).double(), torch.from_numpy(label.astype(np.uint8)))
    assert got == pytest.approx(roc_auc_score(label, score), abs=1e-12)


@pytest.mark.parametrize("decimals", [1, 3, 15])
def test_metrics_of_many_rows_are_scikit_learns(decimals: int) -> None:
    rng = np.random.default_rng(0)
    logit = np.round(rng.normal(-1, 2, 50_000), decimals)
    label = (rng.random(50_000) < 1 / (1 + np.exp(-logit / 2))).astype(np.uint8)
    got = score_predictions(torch.from_numpy(logit), torch.from_numpy(label))
    probability = 1 / (1 + np.exp(-logit))
    assert got.auc == pytest.approx(roc_auc_score(label, logit), abs=1e-9)
    assert got.log_loss == pytest.approx(reference_log_loss(label, probability), abs=1e-9)
    constant = reference_log_loss(label, np.full(len(label), label.mean()))
    assert got.normalized_entropy == pytest.approx(got.log_loss / constant, abs=1e-9)
    assert got.calibration == pytest.approx(probability.mean() / label.mean(), abs=1e-9)


def test_log_loss_of_extreme_logits_is_finite() -> None:
    logit = torch.tensor([-800.0, 800.0, 800.0])
    assert log_loss(logit, torch.tensor([0.0, 1.0, 0.0])) == pytest.approx(800 / 3)


def test_entropy_of_a_fair_coin_is_ln_2() -> None:
    assert base_entropy(0.5) == pytest.approx(np.log(2))


def test_one_class_has_no_auc() -> None:
    with pytest.raises(DataError, match="0 positive and 3 negative"):
        roc_auc(torch.zeros(3), torch.zeros(3))
