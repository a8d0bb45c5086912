"""Comparing studies: the tables against scipy's Welch interval, and the page in words."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from dashboards.compare import comparison_html, write_comparison
from dashboards.compare_tables import cell_differences, cells, data_note, sentences, unshared
from dashboards.tables import Metric
from recscale.errors import ConfigError


@pytest.fixture(scope="module")
def other(results):
    """The same grid, its first family better by 0.01, its second without scale 10."""
    trials = []
    for trial in results.trials:
        if trial.family == "finalmlp" and trial.scale == 10:
            continue
        better = 0.01 if trial.family == "dcnv2" and trial.test_auc else 0.0
        trials.append(replace(trial, test_auc=trial.test_auc and trial.test_auc + better))
    return replace(results, name="other", trials=tuple(trials))


def test_differences_and_intervals_are_welchs(results, other):
    rows = cell_differences(results, other, Metric.AUC)
    for row in rows:
        sides = [[t.test_auc for t in cells(study)[row.cell]] for study in (results, other)]
        assert row.difference.value == pytest.approx(np.mean(sides[1]) - np.mean(sides[0]))
        if min(map(len, sides)) > 1:
            interval = stats.ttest_ind(sides[1], sides[0], equal_var=False).confidence_interval(0.9)
            assert (row.difference.low, row.difference.high) == pytest.approx(tuple(interval), abs=1e-9)
    assert {row.cell.model.family for row in rows if row.difference.trend == "rises"} == {"dcnv2"}


def test_only_shared_cells_are_compared_and_the_others_are_counted(results, other):
    rows = cell_differences(results, other, Metric.AUC)
    assert {(row.cell.model.family, row.cell.scale) for row in rows}.isdisjoint({("finalmlp", 10.0)})
    assert unshared(results, other) == (2, 0)
    assert any("2 cells only in" in line for line in sentences(results, [other]))


def test_the_verdict_counts_what_shows_and_what_does_not(results, other):
    line = next(line for line in sentences(results, [other]) if line.startswith("dcnv2"))
    assert line.startswith("dcnv2: of 7 shared cells, the test AUC of other against")
    assert "is 7 higher (90% intervals" in line
    assert "+0.0100" in line
    still = next(line for line in sentences(results, [other]) if line.startswith("finalmlp"))
    assert "5 within seed noise" in still


def test_other_data_is_a_warning(results, other):
    assert data_note([results, other]) == ""
    moved = replace(other, provenance=(("dataset_fingerprint", "else"),))
    assert "different data" in data_note([results, moved])
    assert "different data" in comparison_html([results, moved])


def test_the_page_shows_every_shared_cell_and_no_markup_of_a_users(results, other):
    page = comparison_html([results, replace(other, name="<b>x</b>")])
    assert page.count("<tr><td>") == len(cell_differences(results, other, Metric.AUC))
    assert "<b>x</b>" not in page.replace("<b>&lt;b&gt;", "")
    assert "<script>alert" not in page


def test_one_study_is_no_comparison(study_folder, tmp_path):
    with pytest.raises(ConfigError, match="got 1 study, expected two or more"):
        write_comparison([study_folder], tmp_path / "page.html")
    assert not list(tmp_path.iterdir())
