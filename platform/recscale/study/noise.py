"""The noise that a finite test set gives a trial's metrics, from its stored predictions."""

import math

import numpy as np
import pyarrow as pa

from recscale.curves.delong import delong_covariance, placements
from recscale.curves.laws import Array
from recscale.records import TrialSpec
from recscale.study.curves import EvalNoise
from recscale.study.store import TrialStore


def eval_noise(store: TrialStore) -> EvalNoise:
    """Standard errors of a stored trial's test metrics: DeLong's of AUC, that of a mean over rows of log loss.

    Normalized entropy divides log loss by the entropy of the base rate, which is taken as known.
    """
    known: dict[str, dict[str, float]] = {}

    def noise(spec: TrialSpec, metric: str) -> float | None:
        if spec.trial_id not in known:
            known[spec.trial_id] = standard_errors(store.read_predictions(spec.trial_id))
        return known[spec.trial_id].get(metric)

    return noise


def standard_errors(predictions: pa.Table) -> dict[str, float]:
    """Standard error of every test metric that has one, by name."""
    logit, label = predictions["logit"].to_numpy(), predictions["label"].to_numpy()
    loss = row_losses(predictions)
    rate = float(label.mean())
    entropy = -(rate * math.log(rate) + (1 - rate) * math.log1p(-rate))
    of_loss = float(loss.std(ddof=1)) / math.sqrt(loss.size)
    return {
        "test_auc": math.sqrt(delong_covariance([placements(logit, label)])[0, 0]),
        "test_log_loss": of_loss,
        "test_normalized_entropy": of_loss / entropy,
    }


def row_losses(predictions: pa.Table) -> Array:
    """Binary cross-entropy in nats of every test row."""
    logit = predictions["logit"].to_numpy().astype(np.float64)
    return np.asarray(np.logaddexp(0.0, np.where(predictions["label"].to_numpy() > 0, -logit, logit)))
