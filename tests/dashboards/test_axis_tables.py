"""Lines along an axis, against numpy on the raw trials; nothing of one configuration leaks into another."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from dashboards.axis import DATA_AMOUNT, DECAY
from dashboards.axis_tables import SCALE, Spacing, end_changes, inner_changes, lines, numeric_axis
from recscale.curves.differences import Trend

AXIS = DATA_AMOUNT.axis


def auc(trial):
    return trial.test_auc


@pytest.fixture
def dcnv2(axis_results):
    return [trial for trial in axis_results.trials if trial.family == "dcnv2"]


def test_a_line_per_scale_and_arm_with_the_seeds_mean_and_spread_in_numeric_order(dcnv2):
    table = lines(dcnv2, AXIS, auc)
    assert [line.label for line in table] == ["SE 1×, K = 10", "SE 4×, K = 40", "ME 4×, 4 sets, K = 10"]
    for line, (arm, scale) in zip(table, [("SE", 1), ("SE", 4), ("ME", 4)], strict=True):
        assert [point.place.x for point in line.points] == [0.1, 0.25, 1.0]
        for point in line.points:
            values = [
                trial.test_auc
                for trial in dcnv2
                if (trial.arm, trial.scale, trial.further) == (arm, scale, (("train_fraction", point.place.label),))
            ]
            assert len(values) == 3
            assert point.mean == pytest.approx(np.mean(values))
            assert point.std == pytest.approx(np.std(values, ddof=1))


def test_scales_have_colours_and_arms_share_them(dcnv2):
    assert [line.color for line in lines(dcnv2, AXIS, auc)] == [0, 1, 1]


def test_along_the_scale_sets_that_follow_it_are_one_line_and_other_settings_stay_apart(dcnv2):
    found = [line.label for line in lines(dcnv2, SCALE, auc)]
    fractions = ("0.1", "0.25", "1")
    assert found == [f"{arm}, train_fraction = {each}" for arm in ("SE", "ME") for each in fractions]
    both = [*dcnv2, *(replace(trial, num_sets=2) for trial in dcnv2 if trial.arm == "ME")]
    labels = {line.label for line in lines(both, SCALE, auc)}
    assert {"ME, 2 sets, train_fraction = 1", "ME, 4 sets, train_fraction = 1"} < labels


def test_a_further_setting_names_a_line(dcnv2):
    both = [replace(t, further=(*t.further, ("dropout", rate))) for t in dcnv2 for rate in ("0.2", "0.5")]
    found = [line.label for line in lines(both, AXIS, auc)]
    assert found[:2] == ["SE 1×, K = 10, dropout = 0.2", "SE 1×, K = 10, dropout = 0.5"]
    assert len(found) == 6
    assert "dropout" not in lines(both[::2], AXIS, auc)[0].label


def test_trials_without_a_value_or_a_place_are_left_out(dcnv2):
    assert lines(dcnv2, AXIS, lambda trial: None) == []
    assert lines(dcnv2, numeric_axis("layers", "layers", "cross_layers", Spacing.LINEAR), auc) == []


def test_decays_are_categories_grouped_by_optimizer(decay_results):
    table = lines(decay_results.trials, DECAY.axis, auc)
    assert [line.group for line in table] == ["adam", "lazy_adam"]
    for line in table:
        assert [point.place.label for point in line.points] == ["none", "coupled 1e-06", "decoupled 0.01"]
    assert len({line.label for line in table}) == 1


def test_a_change_is_scipys_welch_interval_from_end_to_end(dcnv2):
    table = lines(dcnv2, AXIS, auc)
    change = end_changes(table, AXIS.spacing)[0]
    first, last = ([trial.value for trial in point.trials] for point in (table[0].points[0], table[0].points[-1]))
    expected = stats.ttest_ind(last, first, equal_var=False).confidence_interval(0.9)
    assert (change.difference.low, change.difference.high) == pytest.approx((expected.low, expected.high))
    assert (change.first.label, change.last.label) == ("0.1", "1")
    inner = inner_changes(table, AXIS.spacing)
    assert [(each.first.label, each.last.label) for each in inner] == [("0.25", "1")] * 3
    assert inner_changes([replace(line, points=line.points[:2]) for line in table], AXIS.spacing) == []


def test_categories_are_compared_with_the_first(decay_results):
    changes = end_changes(lines(decay_results.trials, DECAY.axis, auc), Spacing.CATEGORIES)
    found = [(each.line.group, each.last.label, each.difference.trend) for each in changes]
    assert found == [
        ("adam", "coupled 1e-06", Trend.FALLS),
        ("adam", "decoupled 0.01", Trend.WITHIN_NOISE),
        ("lazy_adam", "coupled 1e-06", Trend.WITHIN_NOISE),
        ("lazy_adam", "decoupled 0.01", Trend.WITHIN_NOISE),
    ]
    assert inner_changes(lines(decay_results.trials, DECAY.axis, auc), Spacing.CATEGORIES) == []
