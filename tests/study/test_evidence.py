"""Associations, equal budgets and ensembles of a study, against numpy, scipy and scikit-learn on its stored trials."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats
from sklearn.metrics import log_loss, roc_auc_score

from recscale.curves.prediction import OF_SEVERAL_SETS, Measure
from recscale.errors import DataError
from recscale.records import Arm, TrialResult, TrialSpec
from recscale.study.associations import base_auc, study_associations
from recscale.study.curves import Finished
from recscale.study.ensembles import ensembles_table, score_ensemble
from recscale.study.equal_budget import equal_budget_table
from recscale.study.files import arrow_bytes, write_atomic
from recscale.study.results import write_results
from recscale.study.store import TrialStore
from recscale.study.study import Study

Finish = Callable[[TrialStore, TrialSpec], TrialResult]


@pytest.fixture
def finished(study: Study, finish: Finish) -> list[Finished]:
    """Every trial of the study, with random predictions in the store."""
    rng = np.random.default_rng(0)
    found = [(spec, finish(study.store, spec)) for spec in study.spec.trials]
    for spec, _ in found:
        labels = study.store.read_predictions(spec.trial_id)["label"].to_numpy()
        logits = (0.3 * labels + rng.normal(size=len(labels))).astype(np.float32)
        table = pa.table({"logit": logits, "label": labels})
        write_atomic(study.store.folder(spec.trial_id) / "predictions.arrow", arrow_bytes(table))
    return found


def _of(finished: list[Finished], family: str, arm: Arm) -> list[Finished]:
    return [trial for trial in finished if (trial[0].model.family, trial[0].model.arm) == (family, arm)]


def test_every_study_has_the_three_files_and_they_agree_with_their_makers(
    study: Study, finished: list[Finished]
) -> None:
    written = write_results(study)
    assert {"associations.json", "equal_budget.parquet", "ensembles.parquet"} <= {path.name for path in written}
    assert all(path.exists() for path in written)
    assert pq.read_table(study.folder / "equal_budget.parquet").equals(equal_budget_table(finished))
    assert pq.read_table(study.folder / "ensembles.parquet").equals(ensembles_table(study.store, finished))
    sentences = [group["sentence"] for group in json.loads((study.folder / "associations.json").read_text())]
    assert sentences == [group.sentence for group in study_associations(finished)]


def test_a_study_of_which_nothing_has_finished_has_them_empty(study: Study) -> None:
    write_results(study)
    assert json.loads((study.folder / "associations.json").read_text()) == []
    for name in ("equal_budget.parquet", "ensembles.parquet"):
        assert pq.read_table(study.folder / name).num_rows == 0


def test_correlations_are_scipys_within_family_and_arm(finished: list[Finished]) -> None:
    groups = {(group.family, group.arm): group for group in study_associations(finished)}
    assert set(groups) == {(family, arm) for family in ("dnn", "dcnv2") for arm in ("SE", "ME")}
    single = _of(finished, "dnn", Arm.SINGLE)
    group = groups["dnn", "SE"]
    assert group.trial_ids == tuple(spec.trial_id for spec, _ in single)
    assert not {item.measure for item in group.measures} & {*OF_SEVERAL_SETS}
    for item in group.measures:
        values = [_measure(trial, item.measure) for trial in single]
        expected = stats.spearmanr(values, [result.test.auc for _, result in single]).statistic
        assert item.with_quality.spearman is not None
        assert item.with_quality.spearman.value == pytest.approx(expected)
        assert item.with_quality.cells == 3
    multi = {item.measure: item.with_quality for item in groups["dnn", "ME"].measures}
    assert set(multi) == {*Measure}
    assert multi[Measure.IA_RATIO].cells == 3
    assert "2 cells" in multi[Measure.SET_DIVERSITY].note


def _measure(trial: Finished, measure: Measure) -> float:
    _, result = trial
    if measure is Measure.EFFECTIVE_RANK_RATIO:
        return result.collapse.effective_rank_mean / result.embed_dim
    return float(getattr(result.collapse, measure.value))


def test_the_base_is_the_smallest_scale_of_single_embedding(finished: list[Finished]) -> None:
    trials = [trial for trial in finished if trial[0].model.family == "dnn" and trial[0].model.scale > 1]
    smallest = [result.test.auc for spec, result in trials if (spec.model.scale, spec.model.num_sets) == (2.0, 1)]
    assert base_auc(trials) == pytest.approx(np.mean(smallest))
    assert base_auc(_of(finished, "dnn", Arm.MULTI)) is None


def test_equal_scale_is_the_difference_of_means_and_other_axes_are_interpolated(finished: list[Finished]) -> None:
    rows = equal_budget_table(finished).to_pylist()
    assert len(rows) == 2 * 2 * 3 * 4
    chosen = {
        (row["axis"], row["scale"]): row for row in rows if (row["family"], row["metric"]) == ("dcnv2", "test_auc")
    }
    single, multi = _of(finished, "dcnv2", Arm.SINGLE), _of(finished, "dcnv2", Arm.MULTI)
    for scale in (2.0, 4.0):
        means = [np.mean([r.test.auc for s, r in arm if s.model.scale == scale]) for arm in (single, multi)]
        assert chosen["scale", scale]["value"] == pytest.approx(means[1] - means[0])
    sizes = sorted({result.flops_per_sample for _, result in single})
    means = [np.mean([r.test.auc for _, r in single if r.flops_per_sample == size]) for size in sizes]
    flops = chosen["flops_per_sample", 4.0]
    assert flops["single"] == pytest.approx(np.interp(np.log(flops["x"]), np.log(sizes), means))
    total = multi[0][1].table_params + multi[0][1].dense_params
    assert chosen["total_params", 2.0]["x"] == total


def test_ensembles_average_logits_and_are_scored_as_sklearn_does(study: Study, finished: list[Finished]) -> None:
    rows = ensembles_table(study.store, finished).to_pylist()
    assert [(row["family"], row["members"]) for row in rows[::3]] == [
        (family, members) for family in ("dcnv2", "dnn") for members in (2, 4)
    ]
    base = [spec for spec, _ in _of(finished, "dnn", Arm.SINGLE) if spec.model.scale == 1]
    tables = [study.store.read_predictions(spec.trial_id) for spec in base]
    mean = np.mean([table["logit"].to_numpy().astype(np.float64) for table in tables], axis=0)
    labels = tables[0]["label"].to_numpy()
    found = {(row["members"], row["metric"]): row for row in rows if row["family"] == "dnn"}
    assert found[2, "test_auc"]["mean"] == pytest.approx(roc_auc_score(labels, mean))
    assert found[2, "test_log_loss"]["mean"] == pytest.approx(log_loss(labels, 1 / (1 + np.exp(-mean))))
    rival = np.mean([r.test.auc for s, r in _of(finished, "dnn", Arm.MULTI) if s.model.num_sets == 2])
    assert found[2, "test_auc"]["multi_value"] == pytest.approx(rival - found[2, "test_auc"]["mean"])
    assert found[2, "test_auc"]["dense_params"] == 2 * finished[0][1].dense_params
    assert found[4, "test_auc"]["mean"] is None
    assert found[4, "test_auc"]["note"] == "4 base models needed, 2 found: run the study with --base-seeds 4"


def test_predictions_of_different_rows_are_no_ensemble() -> None:
    one = pa.table({"logit": pa.array([0.1, 0.2], pa.float32()), "label": pa.array([0, 1], pa.uint8())})
    other = one.set_column(1, "label", pa.array([1, 0], pa.uint8()))
    with pytest.raises(DataError, match="differ in their labels"):
        score_ensemble([one, other])


def test_a_study_without_base_models_has_no_ensembles(study: Study, finished: list[Finished]) -> None:
    larger = [
        (replace(spec, model=replace(spec.model, scale=spec.model.scale * 2)), result) for spec, result in finished
    ]
    assert ensembles_table(study.store, larger).num_rows == 0
