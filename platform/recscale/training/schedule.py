"""How many rows and batches an epoch has, where it is evaluated, and settings that no run can follow."""

import math

import torch

from recscale.data.reader import Dataset
from recscale.errors import ConfigError, DataError
from recscale.records import Precision, TrainSpec, TrialSpec
from recscale.training.deferred_adam import check_deferral
from recscale.training.penalties import check_penalty


def check_trial(spec: TrialSpec, dataset: Dataset, device: torch.device) -> None:
    """Refuses what cannot be trained, before anything is allocated."""
    train: TrainSpec = spec.train
    if spec.dataset_fingerprint != dataset.manifest.fingerprint:
        raise DataError(
            f"trial {spec.trial_id} is about dataset {spec.dataset_fingerprint[:12]}, but {dataset.path} is "
            f"{dataset.manifest.fingerprint[:12]}; point --data at the dataset of this study"
        )
    if train.precision is Precision.TF32 and device.type != "cuda":
        raise ConfigError(f"precision tf32 needs an NVIDIA GPU, got device {device.type}; use fp32 or bf16")
    for name in ("batch_size", "max_epochs", "evaluations_per_epoch", "patience"):
        if getattr(train, name) < 1:
            raise ConfigError(f"{name} is {getattr(train, name)}, expected at least 1")
    if not 0 < train.train_fraction <= 1:
        raise ConfigError(f"train_fraction is {train.train_fraction:g}, expected more than 0 and at most 1")
    check_settings(spec, len(dataset.manifest.fields))
    if train.batch_size < 2:
        raise ConfigError("batch_size is 1, expected at least 2: batch normalisation needs a variance")
    batches = trainable_batches(train_rows(dataset, train), train.batch_size)
    if batches < train.evaluations_per_epoch:
        raise ConfigError(
            f"evaluations_per_epoch is {train.evaluations_per_epoch}, but an epoch has only {batches} batches of "
            f"{train.batch_size} rows; lower evaluations_per_epoch or batch_size"
        )


def check_settings(spec: TrialSpec, num_fields: int) -> None:
    """Refuses a penalty that the model does not admit, and decay that the table optimizer does not; so does a plan."""
    check_penalty(spec.model, spec.train.penalty, spec.train.penalty_weight, num_fields)
    check_deferral(spec.train)


def train_rows(dataset: Dataset, train: TrainSpec) -> int:
    """Rows of the train split that are trained on."""
    return math.ceil(dataset.split("train").rows * train.train_fraction)


def trainable_batches(rows: int, batch_size: int) -> int:
    """Batches per epoch; a last batch of a single row is left out, since batch normalisation has no variance there."""
    return rows // batch_size + (rows % batch_size > 1)


def next_evaluation(batch: int, batches: int, evaluations: int) -> int:
    """The first evaluation point after `batch`, of `evaluations` evenly spaced ones over `batches`."""
    points = [-(-batches * part // evaluations) for part in range(1, evaluations + 1)]
    return next(point for point in points if point > batch)
