"""The scatter plot has every trial once, where its numbers are; the table says what was computed."""

from dataclasses import replace

import numpy as np
import pytest

from dashboards.evidence import Evidence
from dashboards.prediction import Outcome, correlation_rows, scatter_figure, scatter_points, section
from recscale.curves.prediction import Measure


def test_every_finished_trial_is_a_point_at_its_numbers(results):
    points = scatter_points(results, Measure.IA_RATIO, Outcome.AUC)
    expected = {t.trial_id: (t.ia_ratio_mean, t.test_auc) for t in results.finished}
    assert {point.trial.trial_id: (point.x, point.y) for point in points} == expected


def test_gain_is_over_the_familys_mean_at_the_smallest_single_embedding_scale(results):
    for point in scatter_points(results, Measure.IA_RATIO, Outcome.GAIN):
        base = [t.test_auc for t in results.finished if (t.family, t.arm, t.scale) == (point.model.family, "SE", 1)]
        assert point.y == pytest.approx(point.trial.test_auc - np.mean(base))


def test_effective_rank_is_also_taken_per_dimension(results):
    ranked = replace(results, trials=tuple(replace(t, effective_rank_mean=3.0) for t in results.trials))
    points = scatter_points(ranked, Measure.EFFECTIVE_RANK_RATIO, Outcome.AUC)
    assert [point.x for point in points] == [3 / point.trial.embed_dim for point in points]
    assert scatter_points(results, Measure.EFFECTIVE_RANK, Outcome.AUC) == []


def test_single_embedding_has_no_diversity(results):
    points = scatter_points(results, Measure.SET_DIVERSITY, Outcome.AUC)
    assert {point.trial.arm for point in points} == {"ME"}


def test_families_have_colours_and_arms_have_markers(results):
    points = scatter_points(results, Measure.IA_RATIO, Outcome.AUC)
    traces = scatter_figure(points, Measure.IA_RATIO, Outcome.AUC).data
    assert len(traces) == 6
    looks = {(trace.marker.color, trace.marker.symbol.removesuffix("-open")) for trace in traces}
    assert len(looks) == len({color for color, _ in looks}) == len({symbol for _, symbol in looks}) == 3
    assert all(trace.marker.symbol.endswith("-open") == trace.name.endswith("ME") for trace in traces)
    assert sum(len(trace.x) for trace in traces) == len(points)


def test_the_table_has_every_correlation_in_the_order_of_the_grid(results):
    rows = correlation_rows(results)
    assert [(row.model.family, row.arm) for row in rows[::2]][:3] == [
        ("dcnv2", "SE"),
        ("dcnv2", "ME"),
        ("finalmlp", "SE"),
    ]
    first = results.evidence.associations[0].measures[0].with_quality
    assert rows[0].spearman == f"{first.spearman.value:+.2f} [{first.spearman.low:+.2f}, {first.spearman.high:+.2f}]"
    assert (rows[0].cells, rows[0].trials) == (4, 12)


def test_the_section_says_every_sentence_and_escapes_names(results):
    body, panels = section(results)
    assert body.count("<li>") == 6
    assert "<script>" not in body
    assert [len(panel.figures) for panel in panels] == [14]


def test_a_study_from_before_says_what_to_do(results):
    body, panels = section(replace(results, evidence=Evidence()))
    assert "associations.json has not been written" in body
    assert panels == []
