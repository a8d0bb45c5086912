"""What a trained trial is before the store writes it; no torch, so that readers of the store need none."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recscale.records import TrialResult


@dataclass(frozen=True)
class TrainedTrial:
    """What training leaves in memory for the store to write."""

    result: TrialResult
    """Numbers."""
    spectra: pa.Table
    """Spectra and collapse metrics per field, set and weighting at every evaluation."""
    test_logits: np.ndarray
    """Logits of the best weights on the test split, float32, in the split's order."""
    test_labels: np.ndarray
    """Labels of the test split, uint8."""
    train_logits: np.ndarray
    """Logits of the best weights on rows that were trained on, float32: recscale.training.membership says which."""
    train_labels: np.ndarray
    """Labels of those rows, uint8."""
    sub_embeddings: pa.Table | None = None
    """Abundance of the sub-embeddings of the best weights; None where the family has no blocks between fields."""
