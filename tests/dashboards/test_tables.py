"""The rows behind the scaling and cost figures, against numpy on the raw trials."""

from dataclasses import replace

import numpy as np
import pytest

from dashboards.tables import (
    Axis,
    Cost,
    MeanPoint,
    Metric,
    Model,
    SeedPoint,
    bayes_value,
    ceiling,
    cost_points,
    fit_lines,
    mean_points,
    models,
    trials_of,
)

DCNV2 = Model("dcnv2", "fair")


def test_models_come_in_the_order_of_the_grid(results):
    assert [model.family for model in models(results)][:2] == ["dcnv2", "finalmlp"]
    assert len(models(results)) == 3


@pytest.mark.parametrize("axis", list(Axis))
@pytest.mark.parametrize("metric", list(Metric))
def test_mean_and_spread_are_those_of_the_seeds(results, trial_rows, axis, metric):
    points = mean_points(trials_of(results, DCNV2), axis.value, metric.value)
    assert [(p.arm, p.scale) for p in points] == [("SE", s) for s in (1, 2, 4, 10)] + [("ME", s) for s in (2, 4, 10)]
    for point in points:
        rows = [
            row for row in trial_rows if (row["family"], row["arm"], row["scale"]) == ("dcnv2", point.arm, point.scale)
        ]
        values = [row[metric.value] for row in rows]
        assert point.mean == pytest.approx(np.mean(values))
        assert point.std == pytest.approx(np.std(values, ddof=1))
        sizes = rows[0] | {"total_params": rows[0]["table_params"] + rows[0]["dense_params"]}
        assert point.x == sizes[axis.value]
        assert [seed.trial_id for seed in point.seeds] == [row["trial_id"] for row in rows]


def test_unfinished_trials_are_left_out_and_one_seed_has_no_spread(results):
    points = mean_points(trials_of(results, models(results)[-1]), "scale", "test_auc")
    assert len(points[-1].seeds) == 1
    assert points[-1].std is None


def test_configurations_of_one_scale_that_differ_in_sets_stay_apart(results):
    trials = [trial for trial in trials_of(results, DCNV2) if (trial.arm, trial.scale) == ("ME", 10)]
    split = [replace(trial, num_sets=5 if trial.seed else 10) for trial in trials]
    assert [point.num_sets for point in mean_points(split, "scale", "test_auc")] == [5, 10]


def test_fits_are_drawn_only_on_the_axis_they_were_fitted_on(results):
    lines = fit_lines(results, DCNV2, Axis.SCALE, Metric.AUC)
    assert [line.arm for line in lines] == ["SE", "ME"]
    assert all(
        low < mean < high for line in lines for low, mean, high in zip(line.low, line.mean, line.high, strict=True)
    )
    assert fit_lines(results, DCNV2, Axis.FLOPS, Metric.AUC) == []
    assert fit_lines(replace(results, curves=None), DCNV2, Axis.SCALE, Metric.AUC) == []


def test_normalized_entropy_ceiling_uses_the_base_rate_of_the_trials(results):
    assert bayes_value(results, Metric.AUC) == 0.799
    assert bayes_value(results, Metric.LOG_LOSS) == 0.30
    assert bayes_value(results, Metric.NORMALIZED_ENTROPY) == pytest.approx(0.30 / 0.56)
    assert bayes_value(replace(results, provenance=()), Metric.NORMALIZED_ENTROPY) is None


@pytest.mark.parametrize(
    ("value", "in_range", "above"), [(0.85, True, False), (0.99, True, True), (1.01, False, True), (0.5, False, False)]
)
def test_a_far_ceiling_would_squash_the_curve(value, in_range, above):
    seeds = (SeedPoint("a", 0, 1.0, 0.8), SeedPoint("b", 1, 1.0, 0.9))
    bound = ceiling(value, [MeanPoint("SE", 1.0, 1, 1.0, 0.85, 0.07, seeds)], [])
    assert bound is not None
    assert (bound.in_range, bound.above) == (in_range, above)


def test_an_unknown_ceiling_is_none():
    assert ceiling(None, [], []) is None
    assert ceiling(0.8, [], []) is None


@pytest.mark.parametrize("cost", list(Cost))
def test_every_finished_trial_has_a_cost(results, trial_rows, cost):
    expected = [(r["trial_id"], r[cost.value], r["test_auc"]) for r in trial_rows if r["status"] == "finished"]
    assert [(p.trial_id, p.cost, p.test_auc) for p in cost_points(results, cost)] == expected
