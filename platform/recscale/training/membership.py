"""Membership inference from losses: does a trained model treat the rows it was trained on unlike other rows?

A row is attacked by its loss: members should have the smaller ones (Yeom et al. 2018). A collection of rows is attacked
by a one-sided Welch t test of its losses against those of as many test rows (as dataset inference, Maini et al. 2021).
Whatever else tells train from test rows, such as drift between them, counts as membership here.

Legend: R rows of one side, C collections, G rows of one collection.
"""
# ruff: noqa: N802, N815

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch

from recscale.data.splits import Split
from recscale.training.metrics import roc_auc

MEMBER_ROWS = 65_536
"""Rows trained on whose predictions a trial keeps, at most: the attack's AUC then has a standard error of 0.0016."""
COLLECTIONS = 400
"""Collections drawn per size."""
COLLECTION_ROWS = (16, 64, 256, 1024, 4096)
"""Sizes of a collection."""
ROWS_PER_COLLECTION_ROW = 8
"""A collection is at most this part of the rows it is drawn from, so that collections differ."""
LEVEL = 0.05
"""A collection is detected where its p value is below this."""


def member_sample(train: Split, test: Split) -> Split:
    """The first rows of the rows trained on, as many as test has, MEMBER_ROWS at most; preparation shuffled them."""
    return train.first(min(test.rows, MEMBER_ROWS))


@dataclass(frozen=True)
class Predictions:
    """What a model says of rows, and what they are."""

    logit_R: np.ndarray
    """Logits."""
    label_R: np.ndarray
    """Labels, 0 or 1."""

    @property
    def loss_R(self) -> np.ndarray:
        """Binary cross-entropy of each row in nats, float64."""
        sign_R = np.where(self.label_R > 0, -1.0, 1.0)
        loss_R: np.ndarray = np.logaddexp(0.0, sign_R * self.logit_R.astype(np.float64))
        return loss_R

    def first(self, rows: int) -> "Predictions":
        """The first `rows` rows."""
        return Predictions(self.logit_R[:rows], self.label_R[:rows])


@dataclass(frozen=True)
class AttackAuc:
    """How well losses tell members from others."""

    value: float
    """Probability that a member has a smaller loss than another row, ties counted half; 0.5 is no leak."""
    noise: float
    """Standard deviation of the value where there is no leak, from the finite number of rows."""


@dataclass(frozen=True)
class Detection:
    """How well collections of one size are told from test rows."""

    rows: int
    """G, rows of a collection."""
    detected: float
    """Share of the collections whose p value is below LEVEL."""
    median_p: float
    """Median p value of the collections; 0.5 is no leak."""


@dataclass(frozen=True)
class Membership:
    """What the losses of one model say about who was trained on."""

    rows: int
    """R, rows of each side."""
    attack: AttackAuc
    """Over all rows."""
    within_label: AttackAuc
    """Mean over the labels of the attack among the rows of one label: no shift of the base rate can pose as it."""
    loss_gap: float
    """Mean loss of the others minus that of the members, in nats."""
    detections: tuple[Detection, ...]
    """By size of the collection."""


def measure_membership(members: Predictions, others: Predictions, seed: int = 0) -> Membership:
    """Attacks a model by its predictions; of the longer side only as many rows count as the shorter has."""
    rows = min(len(members.label_R), len(others.label_R))
    members, others = members.first(rows), others.first(rows)
    member_R, other_R = members.loss_R, others.loss_R
    sizes = [size for size in COLLECTION_ROWS if size * ROWS_PER_COLLECTION_ROW <= rows]
    return Membership(
        rows=rows,
        attack=attack_auc(member_R, other_R),
        within_label=_within_label(members, others),
        loss_gap=float(other_R.mean() - member_R.mean()),
        detections=tuple(_detection(member_R, other_R, size, seed) for size in sizes),
    )


def attack_auc(member_R: np.ndarray, other_R: np.ndarray) -> AttackAuc:
    """Exact AUC of minus the loss; its noise is that of the Mann-Whitney statistic under equality."""
    score_R = torch.from_numpy(-np.concatenate([member_R, other_R]))
    is_member_R = torch.arange(len(score_R)) < len(member_R)
    pairs = len(member_R) * len(other_R)
    return AttackAuc(roc_auc(score_R, is_member_R), math.sqrt((len(score_R) + 1) / (12 * pairs)))


def _within_label(members: Predictions, others: Predictions) -> AttackAuc:
    """Labels that one side lacks say nothing and are left out."""
    labels = np.intersect1d(members.label_R, others.label_R)
    parts = [
        attack_auc(members.loss_R[members.label_R == label], others.loss_R[others.label_R == label]) for label in labels
    ]
    noise = math.sqrt(sum(part.noise**2 for part in parts)) / len(parts)
    return AttackAuc(sum(part.value for part in parts) / len(parts), noise)


def _detection(member_R: np.ndarray, other_R: np.ndarray, size: int, seed: int) -> Detection:
    index_CG = _draws(len(member_R), size, seed)
    p_C = welch_p_values(member_R[index_CG], other_R[index_CG])
    return Detection(size, float((p_C < LEVEL).mean()), float(np.median(p_C)))


@functools.lru_cache(maxsize=len(COLLECTION_ROWS))
def _draws(rows: int, size: int, seed: int) -> np.ndarray:
    """Rows of every collection, each without repeats; the same for all trials, so that their differences are theirs."""
    rng = np.random.default_rng([seed, size])
    return np.stack([rng.choice(rows, size, replace=False, shuffle=False) for _ in range(COLLECTIONS)])


def welch_p_values(first_CG: np.ndarray, second_CG: np.ndarray) -> np.ndarray:
    """One p value per pair of samples of one size, small where the first has the smaller mean (Welch 1947).

    Two samples without any spread give 0.5 where they are equal.
    """
    size = first_CG.shape[1]
    difference_C = first_CG.mean(1) - second_CG.mean(1)
    variance_2C = np.stack([first_CG.var(1, ddof=1), second_CG.var(1, ddof=1)]) / size
    total_C = variance_2C.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        t_C = np.where(difference_C == 0, 0.0, difference_C / np.sqrt(total_C))
        freedom_C = np.where(total_C > 0, (size - 1) * total_C**2 / (variance_2C**2).sum(0), size - 1)
    from scipy.special import stdtr  # only here: training needs no more than torch, numpy and pyarrow

    p_C: np.ndarray = stdtr(freedom_C, t_C)
    return p_C
