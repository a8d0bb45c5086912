"""The third line and the published markers, against the tables they come from."""

from dataclasses import replace

import pytest

from dashboards.figures import scaling_figure
from dashboards.overlays import ENSEMBLE_NAME, ensemble_points, overlay
from dashboards.results import StudyResults
from dashboards.tables import Axis, Metric, Model, mean_points, trials_of
from recscale.curves.published import SOURCE, PublishedDataset, published_aucs

DCNV2 = Model("dcnv2", "fair")


def points_of(results: StudyResults, axis: Axis = Axis.SCALE, metric: Metric = Metric.AUC):
    return mean_points(trials_of(results, DCNV2), axis.value, metric.value)


def criteo(results: StudyResults, shift: float = 0.0) -> StudyResults:
    """The study as if of Criteo, with all AUCs moved."""
    moved = tuple(
        replace(trial, test_auc=None if trial.test_auc is None else trial.test_auc + shift) for trial in results.trials
    )
    return replace(results, trials=moved, provenance=(("dataset_format", "criteo"),))


@pytest.mark.parametrize("axis", list(Axis))
def test_an_ensemble_of_m_is_m_times_the_base(results, axis):
    base, *ensembles = ensemble_points(results, DCNV2, axis, Metric.AUC, points_of(results, axis))
    assert base.mean == points_of(results)[0].mean
    assert [point.members for point in ensembles] == [2, 4]
    assert [point.x for point in ensembles] == [2 * base.x, 4 * base.x]


def test_a_study_without_ensembles_has_no_third_line(results):
    bare = replace(results, evidence=replace(results.evidence, ensembles=None))
    assert ensemble_points(bare, DCNV2, Axis.SCALE, Metric.AUC, points_of(bare)) == []
    names = [trace.name for trace in scaling_figure(bare, DCNV2, Axis.SCALE, Metric.AUC).data]
    assert ENSEMBLE_NAME not in names
    assert ENSEMBLE_NAME in [trace.name for trace in scaling_figure(results, DCNV2, Axis.SCALE, Metric.AUC).data]


def test_published_markers_are_the_published_table(results):
    near = criteo(results, 0.0225)
    drawn = scaling_figure(near, DCNV2, Axis.SCALE, Metric.AUC)
    shown = [(x, y) for trace in drawn.data if trace.name == SOURCE for x, y in zip(trace.x, trace.y, strict=True)]
    expected = [(c.scale, c.mean) for c in published_aucs(PublishedDataset.CRITEO) if c.family == "dcnv2"]
    assert sorted(shown) == sorted(expected)
    assert all(trace.hovertemplate.startswith(SOURCE) for trace in drawn.data if trace.name == SOURCE)


def test_published_values_far_away_are_a_note_and_leave_the_axis_alone(results):
    far = criteo(results, -0.2)
    found = overlay(far, DCNV2, Axis.SCALE, Metric.AUC, points_of(far))
    assert found.note == f"↑ {SOURCE}: AUC 0.81339 to 0.81385, off the axis (prepared differently)"
    assert [trace.name for trace in found.traces] == [ENSEMBLE_NAME]
    assert found.note in scaling_figure(far, DCNV2, Axis.SCALE, Metric.AUC).layout.xaxis.title.text


@pytest.mark.parametrize(("axis", "metric"), [(Axis.FLOPS, Metric.AUC), (Axis.SCALE, Metric.LOG_LOSS)])
def test_published_numbers_are_auc_against_scale_only(results, axis, metric):
    study = criteo(results)
    found = overlay(study, DCNV2, axis, metric, points_of(study, axis, metric))
    assert (found.note, [trace.name for trace in found.traces]) == ("", [ENSEMBLE_NAME])


def test_other_data_and_other_families_have_no_published_numbers(results):
    for study, model in ((results, DCNV2), (criteo(results), Model("mine", "fair"))):
        assert SOURCE not in {
            trace.name for trace in overlay(study, model, Axis.SCALE, Metric.AUC, points_of(study)).traces
        }
