"""Quality of stored predictions against scikit-learn, and against what training says of the same rows."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import log_loss, roc_auc_score

from recscale.curves.quality import ranks, roc_auc, score_logits
from recscale.errors import DataError
from recscale.training.metrics import score_predictions

ROWS = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=60)


def _predictions(decimals: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    logit = np.round(rng.normal(-1, 2, 50_000), decimals)
    return logit, (rng.random(50_000) < 1 / (1 + np.exp(-logit / 2))).astype(np.uint8)


@given(ROWS.filter(lambda rows: len({label for _, label in rows}) == 2))
def test_auc_with_ties_is_scikit_learns(rows: list[tuple[int, bool]]) -> None:
    score, label = (np.array(column) for column in zip(*rows, strict=True))
    assert roc_auc(score.astype(float), label) == pytest.approx(roc_auc_score(label, score), abs=1e-12)
    assert (ranks(score.astype(float)) == rankdata(score)).all()


@pytest.mark.parametrize("decimals", [1, 15])
def test_metrics_are_those_of_scikit_learn_and_of_training(decimals: int) -> None:
    logit, label = _predictions(decimals)
    got = score_logits(logit, label)
    assert got.auc == pytest.approx(roc_auc_score(label, logit), abs=1e-12)
    assert got.log_loss == pytest.approx(log_loss(label, 1 / (1 + np.exp(-logit))), abs=1e-12)
    trained = score_predictions(torch.from_numpy(logit), torch.from_numpy(label))
    assert got.auc == trained.auc, "both are exact"
    assert vars(got) == pytest.approx(vars(trained), rel=1e-12)


def test_extreme_logits_have_a_finite_loss() -> None:
    got = score_logits(np.array([-800.0, 800.0, 800.0]), np.array([0, 1, 0], dtype=np.uint8))
    assert got.log_loss == pytest.approx(800 / 3)
    assert got.calibration == pytest.approx(2)


def test_one_class_has_no_auc() -> None:
    with pytest.raises(DataError, match="0 positive and 3 negative"):
        roc_auc(np.zeros(3), np.zeros(3, dtype=np.uint8))
