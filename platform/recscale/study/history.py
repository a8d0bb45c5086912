"""The looks of every trial at itself: one row per evaluation, with the trial's axes in front."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from recscale.collapse.measurement import Moment
from recscale.records import Evaluation, TrialResult, to_plain

LOOK_SCHEMA = pa.schema(
    [
        ("moment", pa.string()),
        ("step", pa.int64()),
        ("epoch", pa.float64()),
        ("train_loss", pa.float64()),
        ("valid_auc", pa.float64()),
        ("valid_log_loss", pa.float64()),
        ("ia_mean", pa.float64()),
        ("ia_ratio_mean", pa.float64()),
        ("ia_concat_ratio_mean", pa.float64()),
        ("weighted_ia_ratio_mean", pa.float64()),
        ("weighted_ia_concat_ratio_mean", pa.float64()),
        ("effective_rank_mean", pa.float64()),
        ("stable_rank_mean", pa.float64()),
        ("participation_ratio_mean", pa.float64()),
        ("set_diversity_mean", pa.float64()),
    ]
)
"""Columns of training.parquet after the trial's axes; `moment` is initial, evaluation or, once per trial, best."""


def training_table(axes: pa.Table, results: Mapping[str, TrialResult]) -> pa.Table:
    """Every evaluation of the finished trials, oldest first; `axes` has one row per trial, its trial_id among them."""
    rows = [
        {**trial, **look}
        for trial in axes.to_pylist()
        if trial["trial_id"] in results
        for look in _looks(results[trial["trial_id"]])
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema([*axes.schema, *LOOK_SCHEMA]))


def _looks(result: TrialResult) -> Iterator[dict[str, Any]]:
    for look in result.history:
        yield {
            "moment": _moment(look, result).value,
            "step": look.step,
            "epoch": look.epoch,
            "train_loss": look.train_loss,
            "valid_auc": look.valid.auc,
            "valid_log_loss": look.valid.log_loss,
            **to_plain(look.collapse),
        }


def _moment(look: Evaluation, result: TrialResult) -> Moment:
    if look.step == 0:
        return Moment.INITIAL
    return Moment.BEST if look.step == result.best_step else Moment.EVALUATION
