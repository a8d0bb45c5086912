"""Comparing studies: the tables against scipy's Welch interval, and the page in words."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from dashboards.compare import comparison_html, write_comparison
from dashboards.compare_tables import cell_differences, cells, data_note, sentences, unshared
from dashboards.tables import Metric
from recscale.errors import ConfigError


def test_differences_and_intervals_are_welchs(results, other_study):
    rows = cell_differences(results, other_study, Metric.AUC)
    for row in rows:
        sides = [[t.test_auc for t in cells(study)[row.cell]] for study in (results, other_study)]
        assert row.difference.value == pytest.approx(np.mean(sides[1]) - np.mean(sides[0]))
        if min(map(len, sides)) > 1:
            interval = stats.ttest_ind(sides[1], sides[0], equal_var=False).confidence_interval(0.9)
            assert (row.difference.low, row.difference.high) == pytest.approx(tuple(interval), abs=1e-9)
    assert {row.cell.model.family for row in rows if row.difference.trend == "rises"} == {"dcnv2"}


def test_only_shared_cells_are_compared_and_the_others_are_counted(results, other_study):
    rows = cell_differences(results, other_study, Metric.AUC)
    assert {(row.cell.model.family, row.cell.scale) for row in rows}.isdisjoint({("finalmlp", 10.0)})
    assert unshared(results, other_study) == (2, 0)
    assert any("2 cells only in" in line for line in sentences(results, [other_study]))


def test_the_verdict_counts_what_shows_and_what_does_not(results, other_study):
    line = next(line for line in sentences(results, [other_study]) if line.startswith("dcnv2"))
    assert line.startswith("dcnv2: of 7 shared cells, the test AUC of other against")
    assert "is 7 higher (90% intervals" in line
    assert "+0.0100" in line
    still = next(line for line in sentences(results, [other_study]) if line.startswith("finalmlp"))
    assert "5 within seed noise" in still


def test_other_data_is_a_warning(results, other_study):
    assert data_note([results, other_study]) == ""
    moved = replace(other_study, provenance=(("dataset_fingerprint", "else"),))
    assert "different data" in data_note([results, moved])
    page = comparison_html([results, moved])
    assert page.count("These studies read different data") == 2
    assert "<td>higher" not in page
    assert page.count("<td>other data") == len(cell_differences(results, moved, Metric.AUC))
    assert not any("higher" in line or "lower" in line for line in sentences(results, [moved]))


def test_the_page_shows_every_shared_cell_and_no_markup_of_a_users(results, other_study):
    page = comparison_html([results, replace(other_study, name="<b>x</b>")])
    assert page.count("<tr><td>") == len(cell_differences(results, other_study, Metric.AUC))
    assert "<b>x</b>" not in page.replace("<b>&lt;b&gt;", "")
    assert "<script>alert" not in page


def test_one_study_is_no_comparison(study_folder, tmp_path):
    with pytest.raises(ConfigError, match="got 1 study, expected two or more"):
        write_comparison([study_folder], tmp_path / "page.html")
    assert not list(tmp_path.iterdir())
