"""Membership inference: scipy's and scikit-learn's numbers, an over-fitted classifier found, an innocent one not."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import stats
from sklearn.metrics import log_loss, roc_auc_score

from recscale.data.manifest import FieldInfo, SourceInfo
from recscale.data.reader import Dataset
from recscale.data.writer import DatasetWriter
from recscale.records import ModelSpec, TrainSpec, TrialSpec
from recscale.training.checkpoints import FolderCheckpoints
from recscale.training.loop import train
from recscale.training.membership import (
    COLLECTIONS,
    Membership,
    Predictions,
    attack_auc,
    measure_membership,
    member_sample,
    welch_p_values,
)

ROWS = 4000


def _side(rng: np.random.Generator, memory: float, rows: int = ROWS, base: float = 0.0) -> Predictions:
    """Labels drawn from true logits; the classifier knows these, and leans by `memory` towards a row's own label."""
    logit_R = base + rng.normal(0, 1.5, rows)
    label_R = (rng.random(rows) < 1 / (1 + np.exp(-logit_R))).astype(np.uint8)
    return Predictions((logit_R + memory * (2.0 * label_R - 1)).astype(np.float32), label_R)


def test_losses_and_auc_are_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    members, others = _side(rng, 0.4), _side(rng, 0.0)
    found = measure_membership(members, others)
    for side in (members, others):
        assert side.loss_R.mean() == pytest.approx(
            log_loss(side.label_R, 1 / (1 + np.exp(-side.logit_R.astype(float))))
        )
    score = -np.concatenate([members.loss_R, others.loss_R])
    is_member = np.repeat([1, 0], ROWS)
    assert found.attack.value == pytest.approx(roc_auc_score(is_member, score))
    label = np.concatenate([members.label_R, others.label_R])
    parts = [roc_auc_score(is_member[label == each], score[label == each]) for each in (0, 1)]
    assert found.within_label.value == pytest.approx(np.mean(parts))


def test_p_values_are_scipys_one_sided_welch() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.exponential(1.0, (50, 40)), rng.exponential(1.1, (50, 40))
    expected = stats.ttest_ind(first, second, axis=1, equal_var=False, alternative="less").pvalue
    assert welch_p_values(first, second) == pytest.approx(expected)


def test_losses_without_any_spread_say_nothing_where_they_are_equal() -> None:
    ones = np.ones((1, 8))
    assert welch_p_values(ones, ones).tolist() == [0.5]
    assert welch_p_values(ones, 2 * ones).tolist() == [0.0]
    assert welch_p_values(2 * ones, ones).tolist() == [1.0]


def test_an_over_fitted_classifier_is_detected_the_more_rows_the_surer() -> None:
    rng = np.random.default_rng(3)
    found = measure_membership(_side(rng, 0.5), _side(rng, 0.0))
    assert found.attack.value > 0.5 + 10 * found.attack.noise
    assert found.within_label.value > 0.5 + 10 * found.within_label.noise
    assert found.loss_gap > 0.1
    detected = [each.detected for each in found.detections]
    assert [each.rows for each in found.detections] == [16, 64, 256]
    assert detected == sorted(detected)
    assert detected[0] < 0.6
    assert detected[-1] > 0.95


def test_an_innocent_classifier_stays_within_its_noise() -> None:
    rng = np.random.default_rng(4)
    found = [measure_membership(_side(rng, 0.0), _side(rng, 0.0)) for _ in range(60)]
    for auc in ("attack", "within_label"):
        z = np.array([(getattr(each, auc).value - 0.5) / getattr(each, auc).noise for each in found])
        assert stats.kstest(z, "norm").pvalue > 0.01
        assert 0.7 < z.std() < 1.3
    detected = np.array([[size.detected for size in each.detections] for each in found]).mean(0)
    assert detected == pytest.approx([0.05] * 3, abs=0.025)


def test_p_values_of_an_innocent_classifier_are_uniform() -> None:
    rng = np.random.default_rng(5)
    members, others = _side(rng, 0.0, 64_000), _side(rng, 0.0, 64_000)
    p_values = welch_p_values(members.loss_R.reshape(1000, 64), others.loss_R.reshape(1000, 64))
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_a_shift_of_the_base_rate_is_no_membership_within_labels() -> None:
    """Fewer positives make for smaller losses; a model that ignores its input shows it purely."""
    rng = np.random.default_rng(6)
    labels = [(rng.random(ROWS) < rate).astype(np.uint8) for rate in (0.1, 0.3)]
    logits = [rng.normal(-1.5, 0.3, ROWS) for _ in labels]
    found = measure_membership(*(Predictions(*pair) for pair in zip(logits, labels, strict=True)))
    assert found.attack.value > 0.5 + 10 * found.attack.noise
    assert abs(found.within_label.value - 0.5) < 3 * found.within_label.noise


def test_a_label_that_one_side_lacks_says_nothing() -> None:
    rng = np.random.default_rng(7)
    members, others = _side(rng, 0.0), _side(rng, 0.0)
    negative = Predictions(members.logit_R[members.label_R == 0], members.label_R[members.label_R == 0])
    found = measure_membership(negative, others)
    cut = others.first(len(negative.label_R))
    assert found.within_label == attack_auc(negative.loss_R, cut.loss_R[cut.label_R == 0])


def test_the_same_rows_are_drawn_each_time_and_both_sides_have_as_many() -> None:
    rng = np.random.default_rng(8)
    members, others = _side(rng, 0.2), _side(rng, 0.0, 2 * ROWS)
    assert measure_membership(members, others) == measure_membership(members, others.first(ROWS))
    assert measure_membership(members, others, seed=1) != measure_membership(members, others)
    assert COLLECTIONS * measure_membership(members, others).detections[0].detected % 1 == pytest.approx(0)


@pytest.fixture
def coins(tmp_path: Path) -> Dataset:
    """400 users with a coin each; train shows every user and coin ten times, valid and test throw new coins."""
    rng = np.random.default_rng(9)
    user_B, coin_B = np.arange(400, dtype=np.int32), rng.integers(0, 2, 400).astype(np.uint8)
    order_B = rng.permutation(np.repeat(user_B, 10))
    with DatasetWriter(tmp_path / "coins") as writer:
        writer.write_rows("train", order_B[:, None], coin_B[order_B])
        for split in ("valid", "test"):
            writer.write_rows(split, user_B[:, None], rng.integers(0, 2, 400).astype(np.uint8))
        writer.write_vocabulary("user", 0, pa.array([None, *map(str, range(1, 400))]), np.full(400, 10))
        field = FieldInfo("user", "categorical", 400, min_count=1)
        writer.finish((field,), SourceInfo("table", (), 4800, 0, 0), {}, None)
    return Dataset.open(tmp_path / "coins")


@pytest.mark.usefixtures("one_thread")
def test_a_trial_that_learned_its_rows_by_heart_is_detected_and_an_untrained_one_is_not(
    coins: Dataset, tmp_path: Path
) -> None:
    model = ModelSpec("dnn", base_dim=8, hidden_sizes=(32, 32), dropout=0.0)

    def attacked(learning_rate: float) -> Membership:
        settings = TrainSpec(batch_size=64, max_epochs=1, train_fraction=0.5, learning_rate=learning_rate)
        spec = TrialSpec(coins.manifest.fingerprint, model, settings, seed=0)
        checkpoints = FolderCheckpoints(tmp_path / str(learning_rate))
        trained = train(spec, coins, torch.device("cpu"), checkpoints, lambda _: None)
        assert trained.train_logits.dtype == np.float32
        assert np.array_equal(trained.train_labels, coins.split("train").labels()[:400])
        members = Predictions(trained.train_logits, trained.train_labels)
        return measure_membership(members, Predictions(trained.test_logits, trained.test_labels))

    learned, untrained = attacked(3e-2), attacked(1e-9)
    assert learned.within_label.value > 0.5 + 8 * learned.within_label.noise
    assert learned.detections[0].detected > 0.5
    assert abs(untrained.within_label.value - 0.5) < 3 * untrained.within_label.noise


def test_members_are_the_first_rows_and_never_more_than_the_test_split_has(small_dataset: Dataset) -> None:
    members, test = (
        member_sample(small_dataset.split("train"), small_dataset.split("test")),
        small_dataset.split("test"),
    )
    assert members.rows == test.rows
    assert np.array_equal(members.labels(), small_dataset.split("train").labels()[: test.rows])
