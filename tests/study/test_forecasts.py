"""What a study says of sizes that it has not run."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from recscale.curves.forecast import Kind
from recscale.curves.pareto import pareto_front
from recscale.curves.verdict import Better
from recscale.records import ModelSpec, TrialResult, TrialSpec, canonical_json, from_json, to_plain
from recscale.study.curves import study_curves
from recscale.study.forecasts import StudyForecasts, _buildable, _need, study_forecasts
from recscale.study.pareto import pareto_table
from recscale.study.seeds import plan_seeds
from recscale.study.store import TrialStore
from recscale.study.study import Study
from recscale.study.surfaces import study_surfaces

Finish = Callable[[TrialStore, TrialSpec], TrialResult]
Finished = tuple[TrialSpec, TrialResult]


def _metric(result: TrialResult, auc: float) -> TrialResult:
    return replace(result, test=replace(result.test, auc=auc, log_loss=1 - auc))


@pytest.fixture
def finished(study: Study, finish: Finish) -> list[Finished]:
    """AUC grows with the logarithm of the scale, twice as fast for multi-embedding."""
    found = []
    for spec in study.spec.trials:
        slope = 0.002 if spec.model.num_sets > 1 else 0.001
        auc = 0.8 + slope * np.log(spec.model.scale) + 1e-6 * (spec.seed - 0.5)
        found.append((spec, _metric(finish(study.store, spec), float(auc))))
    return found


def test_curves_are_forecast_and_flagged(finished: list[Finished]) -> None:
    found = study_forecasts(finished, study_curves(finished))
    auc = [row for row in found.forecasts if (row.family, row.arm, row.metric) == ("dnn", "ME", "test_auc")]
    assert [row.forecast.x for row in auc] == [8.0, 16.0, 40.0]
    assert [row.forecast.kind for row in auc] == [Kind.FORECAST] * 3
    assert auc[1].forecast.distance == pytest.approx(1.0)
    assert auc[1].gain.value == pytest.approx(0.002 * np.log(4), rel=0.01)
    assert from_json(StudyForecasts, canonical_json(to_plain(found)), "forecasts.json") == found


def test_a_gain_names_the_scale_and_the_sets_it_needs(finished: list[Finished]) -> None:
    needs = study_forecasts(finished, study_curves(finished)).needs
    row = next(row for row in needs if (row.family, row.arm, row.gain) == ("dnn", "ME", 0.001))
    assert row.need.x == pytest.approx(np.exp(0.5), rel=0.02)
    assert (row.base_scale, row.scale, row.num_sets) == (1.0, 2.0, 2)
    assert row.sentence.startswith(
        "dnn (fair) ME: +0.001 AUC over single-embedding at scale 1 needs scale 2 with 2 sets"
    )
    assert "(interpolation)" in row.sentence
    single = next(row for row in needs if (row.family, row.arm, row.gain) == ("dnn", "SE", 0.002))
    assert (single.scale, single.num_sets) == (pytest.approx(np.exp(2), abs=0.3), 1)
    assert single.need.kind is Kind.FORECAST


@pytest.mark.parametrize(
    ("scales", "why"),
    [
        ((1, 2, 4), "a constant, for no slope was worth its parameter"),
        ((1, 2), "a constant, the only law that so few scales and trials allow"),
    ],
)
def test_a_constant_law_is_named_where_a_gain_is_reached_nowhere_or_everywhere(
    finished: list[Finished], scales: tuple[float, ...], why: str
) -> None:
    single = [trial for trial in finished if trial[0].model.num_sets == 1 and trial[0].model.scale in scales]
    chosen = [(spec, _metric(result, 0.8 + 1e-4 * (spec.seed - 0.5))) for spec, result in single]
    (curve,) = (item for item in study_curves(chosen) if item.curve.metric == "test_auc" and item.curve.family == "dnn")
    models = [spec.model for spec, _ in chosen]
    assert _need(curve, curve, models, 0.001).sentence == (
        f"dnn (fair) SE: +0.001 AUC over single-embedding at scale 1 is reached at no scale: its law is {why} (0% of "
        "the replicates reach it)"
    )
    everywhere = _need(curve, curve, models, -0.001).sentence
    assert everywhere.endswith(f"is reached at every scale: its law is {why} (100% of the replicates reach it)")


def test_scales_are_rounded_up_to_what_can_be_built() -> None:
    single = [ModelSpec(family="dnn", base_dim=10)]
    assert _buildable(1.23, single) == (1.3, 1)
    following = [ModelSpec(family="dnn", scale=n, num_sets=n) for n in (2, 4)]
    assert _buildable(4.1, following) == (5.0, 5)
    fixed = [ModelSpec(family="dnn", scale=n, num_sets=4) for n in (2, 4)]
    assert _buildable(2.05, fixed) == (2.4, 4)
    assert _buildable(3.0, following + fixed) == (3.0, None)


def test_fronts_hold_every_family_and_arm(study: Study, finished: list[Finished]) -> None:
    table = pareto_table(study, {spec.trial_id: result for spec, result in finished}).to_pylist()
    assert len(table) == 2 * 5 * 2 * 3
    for metric, better in (("test_auc", Better.HIGHER), ("test_log_loss", Better.LOWER)):
        rows = [row for row in table if (row["metric"], row["cost_name"]) == (metric, "flops_per_sample")]
        cost, quality = (np.array([row[name] for row in rows]) for name in ("cost", "quality"))
        assert [row["on_front"] for row in rows] == pareto_front(cost, quality, better).tolist()
        assert any(row["on_front"] for row in rows)
        assert {row["seeds"] for row in rows} == {2}


def test_surfaces_are_fitted_where_trials_suffice_and_say_what_they_lack(finished: list[Finished]) -> None:
    surfaces = study_surfaces(finished)
    assert [(item.family, item.metric) for item in surfaces[:3]] == [
        ("dcnv2", "test_auc"),
        ("dcnv2", "test_log_loss"),
        ("dcnv2", "test_normalized_entropy"),
    ]
    assert all(item.note == "not fitted: 5 distinct scales, needs 6: add scales" for item in surfaces)
    parts = [
        (
            replace(spec, train=replace(spec.train, train_fraction=share)),
            _metric(result, 1 - (0.2 + 30.0 * (result.table_params + result.dense_params) ** -0.5 + 0.01 / share**0.4)),
        )
        for spec, result in finished
        if spec.model.family == "dnn"
        for share in (0.1, 0.3, 1.0)
    ]
    fitted = study_surfaces(parts)[0]
    assert fitted.variables == ("params", "train_fraction")
    values = {item.name: item.value for item in fitted.parameters}
    assert values["exponent_1"] == pytest.approx(0.5, rel=1e-3)
    assert values["exponent_2"] == pytest.approx(0.4, rel=1e-3)
    assert values["floor"] == pytest.approx(0.2, rel=1e-3)


def test_seeds_are_planned_by_the_noise_between_a_studys_seeds(study: Study, finish: Finish) -> None:
    for spec in study.spec.trials:
        finish(study.store, spec)
    text = plan_seeds(study, "test_auc", 2e-4).splitlines()
    assert text[0] == "test_auc: seeds per arm to see 0.0002 with power 0.8 at two-sided level 0.05"
    assert [line.split(":")[0] for line in text[1:]] == ["dcnv2 (fair)", "dnn (fair)", "all families"]
    assert "noise 0.000707 from 10 degrees of freedom" in text[-1]
    assert text[-1].startswith("all families: 198 seeds (197 if")
