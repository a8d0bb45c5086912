"""Paired comparison from stored predictions, against its definition by hand."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats
from sklearn.metrics import log_loss, roc_auc_score

from recscale.curves.paired import holm
from recscale.errors import DataError
from recscale.records import TrialResult, TrialSpec
from recscale.study.files import arrow_bytes, write_atomic
from recscale.study.noise import eval_noise
from recscale.study.paired import paired_table, write_paired
from recscale.study.store import TrialStore
from recscale.study.study import Study

Finish = Callable[[TrialStore, TrialSpec], TrialResult]
ROWS = 3000


def _predict(store: TrialStore, trial_id: str, logit: np.ndarray, label: np.ndarray) -> None:
    table = pa.table({"logit": logit.astype(np.float32), "label": label.astype(np.uint8)})
    write_atomic(store.folder(trial_id) / "predictions.arrow", arrow_bytes(table))


@pytest.fixture
def predicted(study: Study, finish: Finish) -> list[tuple[TrialSpec, TrialResult]]:
    """All trials, with predictions of one world; multi-embedding of dcnv2 sees it more clearly."""
    rng = np.random.default_rng(0)
    truth = rng.normal(-1, 1.5, ROWS)
    label = rng.random(ROWS) < 1 / (1 + np.exp(-truth))
    finished = []
    for spec in study.spec.trials:
        finished.append((spec, finish(study.store, spec)))
        clear = spec.model.family == "dcnv2" and spec.model.num_sets > 1
        _predict(study.store, spec.trial_id, truth + rng.normal(0, 0.4 if clear else 1.0, ROWS), label)
    return finished


def test_every_family_and_scale_with_both_arms_is_compared(study: Study, predicted) -> None:
    rows = paired_table(study.store, predicted).to_pylist()
    cells = [(row["family"], row["scale"], row["num_sets"], row["metric"]) for row in rows]
    metrics = ("test_auc", "test_log_loss")
    assert cells == [(f, s, int(s), m) for f in ("dcnv2", "dnn") for s in (2.0, 4.0) for m in metrics]
    for row in rows:
        better = (row["value"] > 0) == (row["metric"] == "test_auc")
        assert row["seeds"] == 2
        assert (row["p_better"] > 0.5) == better
        assert row["low"] < row["value"] < row["high"]
        if row["family"] == "dcnv2":
            assert row["p_better"] > 0.9
        alike = [other["seed_std"] for other in rows if all(other[key] == row[key] for key in ("family", "metric"))]
        assert row["pooled_seed_std"] ** 2 == pytest.approx(np.mean(np.square(alike)))
    for metric in metrics:
        chosen = [row for row in rows if row["metric"] == metric]
        assert [row["p_holm"] for row in chosen] == list(holm([row["p_value"] for row in chosen]))


def test_differences_are_of_the_metrics_of_the_predictions_seed_by_seed(study: Study, predicted) -> None:
    row, loss_row = paired_table(study.store, predicted).to_pylist()[:2]
    single, multi = (
        [study.store.read_predictions(trial) for trial in row["trials"][half : half + 2]] for half in (0, 2)
    )
    by_id = {spec.trial_id: spec for spec, _ in predicted}
    assert [by_id[trial].seed for trial in row["trials"]] == [0, 1, 0, 1]
    aucs = [[roc_auc_score(t["label"], t["logit"]) for t in side] for side in (single, multi)]
    losses = [
        [log_loss(t["label"], 1 / (1 + np.exp(-t["logit"].to_numpy().astype(float)))) for t in side]
        for side in (single, multi)
    ]
    for found, values in ((row, aucs), (loss_row, losses)):
        difference = np.subtract(values[1], values[0])
        assert found["value"] == pytest.approx(difference.mean(), abs=1e-9)
        assert found["seed_std"] == pytest.approx(difference.std(ddof=1), abs=1e-9)
        assert found["standard_error"] ** 2 >= found["pooled_seed_std"] ** 2 / 2
        tail = stats.t.sf(abs(found["value"]) / found["standard_error"], found["freedom"])
        assert found["p_value"] == pytest.approx(2 * tail)


def test_a_seed_without_its_pair_is_left_out(study: Study, predicted) -> None:
    alone = [trial for trial in predicted if not (trial[0].model.num_sets == 2 and trial[0].seed == 1)]
    rows = [row for row in paired_table(study.store, alone).to_pylist() if row["num_sets"] == 2]
    assert {(row["seeds"], row["seed_std"]) for row in rows} == {(1, None)}
    singles = [trial for trial in predicted if trial[0].model.num_sets == 1]
    assert paired_table(study.store, singles).num_rows == 0


def test_predictions_of_other_rows_are_refused(study: Study, predicted) -> None:
    broken = next(spec for spec, _ in predicted if spec.model.num_sets == 2)
    table = study.store.read_predictions(broken.trial_id)
    _predict(study.store, broken.trial_id, table["logit"].to_numpy(), table["label"].to_numpy()[::-1])
    with pytest.raises(DataError, match="are of other test rows"):
        paired_table(study.store, predicted)


def test_known_rows_are_kept_and_new_ones_added(study: Study, predicted) -> None:
    path = study.folder / "paired.parquet"
    path.parent.mkdir(parents=True)
    write_paired(study, [trial for trial in predicted if trial[0].model.family == "dnn"])
    marked = pq.read_table(path)
    values = pa.array([0.25] * marked.num_rows)
    kept = marked.set_column(marked.schema.get_field_index("value"), marked.schema.field("value"), values)
    pq.write_table(kept, path)
    write_paired(study, predicted)
    rows = pq.read_table(path).to_pylist()
    assert {row["value"] == 0.25 for row in rows if row["family"] == "dnn"} == {True}
    assert len(rows) == 8
    assert rows == pq.read_table(path).to_pylist()
    pq.write_table(kept.replace_schema_metadata({b"recscale_paired": b"1"}), path)
    write_paired(study, predicted)
    assert all(row["value"] != 0.25 for row in pq.read_table(path).to_pylist())


def test_eval_noise_is_the_spread_over_resampled_test_rows(study: Study, predicted) -> None:
    spec = predicted[0][0]
    table = study.store.read_predictions(spec.trial_id)
    logit, label = table["logit"].to_numpy().astype(float), table["label"].to_numpy()
    rng = np.random.default_rng(1)
    draws = [rng.integers(0, ROWS, ROWS) for _ in range(300)]
    noise = eval_noise(study.store)
    spread = np.std([roc_auc_score(label[rows], logit[rows]) for rows in draws])
    assert noise(spec, "test_auc") == pytest.approx(spread, rel=0.15)
    losses = [log_loss(label[rows], 1 / (1 + np.exp(-logit[rows]))) for rows in draws]
    assert noise(spec, "test_log_loss") == pytest.approx(np.std(losses), rel=0.15)
    ratio = noise(spec, "test_normalized_entropy") / noise(spec, "test_log_loss")
    assert ratio == pytest.approx(1 / stats.bernoulli(label.mean()).entropy())
    assert noise(replace(spec), "unknown") is None
