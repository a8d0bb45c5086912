"""Equal budgets: markers where there is a difference, words where there is none."""

from dataclasses import replace

import pytest

from dashboards.budget import budget_figure, budget_panel, budget_rows, chosen, section
from dashboards.evidence import Evidence
from dashboards.tables import Metric, Model
from recscale.curves.equal_budget import BudgetAxis

DCNV2 = Model("dcnv2", "fair")


def test_every_comparison_is_a_marker_with_its_interval(results):
    cells = chosen(results.evidence.budgets, DCNV2, Metric.AUC)
    drawn = budget_figure(cells, Metric.AUC, results.finished)
    inside = [cell for cell in cells if cell.comparison.value is not None]
    assert sorted(y for trace in drawn.data for y in trace.y) == sorted(cell.comparison.value for cell in inside)
    halves = [half for trace in drawn.data for half in trace.error_y.array]
    expected = [(cell.comparison.high - cell.comparison.low) / 2 for cell in inside]
    assert sorted(halves) == pytest.approx(sorted(expected))


def test_a_label_names_the_trials_of_both_sides(results):
    cells = chosen(results.evidence.budgets, DCNV2, Metric.AUC)
    trace = budget_figure(cells, Metric.AUC, results.finished).data[0]
    at_two = [t for t in results.finished if (t.family, t.scale) == ("dcnv2", 2.0)]
    assert {t.arm for t in at_two} == {"SE", "ME"}
    assert len(at_two) == 6
    assert all(trial.trial_id in trace.text[0] for trial in at_two)
    assert trace.text[0].count("0000") == 6


def test_markers_of_one_scale_stand_apart_in_the_order_of_the_axes(results):
    drawn = budget_figure(chosen(results.evidence.budgets, DCNV2, Metric.AUC), Metric.AUC, results.finished)
    first = [trace.x[0] for trace in drawn.data]
    assert first == sorted(first)
    assert len(set(first)) == len(first)
    assert max(first) / min(first) < 1.25


def test_the_table_says_where_there_is_no_comparison(results):
    rows = budget_rows(results.evidence.budgets)
    assert len(rows) == 9 - 1 + 1
    cells = {(c.family, c.scale, c.axis): c for c in results.evidence.budgets if c.metric == Metric.AUC.value}
    for row in rows:
        for axis, words in zip(BudgetAxis, row.words, strict=True):
            found = cells[row.model.family, row.scale, axis].comparison
            assert words.startswith(f"{found.value:+.4f}" if found.value is not None else found.note)


def test_cells_outside_are_not_drawn(results):
    outside = [
        replace(cell, comparison=replace(cell.comparison, value=None))
        for cell in chosen(results.evidence.budgets, DCNV2, Metric.AUC)
    ]
    assert "No cell can be compared" in budget_figure(outside, Metric.AUC, results.finished).layout.annotations[0].text


def test_one_figure_per_family_and_metric(results):
    assert len(budget_panel(results, results.evidence.budgets).figures) == 3 * 3


def test_the_section_has_a_sentence_per_family_and_says_what_is_lacking(results):
    body, _ = section(results)
    assert body.count("<li>") == 3
    assert "<script>" not in body
    assert "equal_budget.parquet has not been written" in section(replace(results, evidence=Evidence()))[0]
    assert "nothing to compare" in section(replace(results, evidence=Evidence(budgets=())))[0]
