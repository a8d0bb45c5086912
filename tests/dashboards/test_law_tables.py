"""Every law that was tried is printed with both criteria, and with which of them prefers it."""

from dataclasses import replace

import pytest

from dashboards.law_tables import candidate_rows, law_rows, laws_html


def test_every_law_is_listed_with_why_it_was_chosen(results):
    rows = law_rows(results)
    assert len(rows) == 3 * 2 * 3
    assert {(row.law, row.selection) for row in rows} == {("log_linear", "selected by AICc; the back-test agrees")}
    assert "<script" not in laws_html(results)


def test_every_candidate_has_both_criteria_and_who_prefers_it(results):
    rows = {(row.arm, row.law): row for row in candidate_rows(results)}
    assert len(candidate_rows(results)) == 2 * 3 * 2 * 3
    assert rows["SE", "constant"].aicc_above == pytest.approx(7.5)
    assert rows["SE", "log_linear"].aicc_above == 0
    assert {key: (row.backtest, row.preferred) for key, row in rows.items()} == {
        ("SE", "constant"): (0.003, ()),
        ("SE", "log_linear"): (0.002, ("AICc (chosen)", "back-test")),
        ("ME", "constant"): (0.001, ("back-test",)),
        ("ME", "log_linear"): (0.002, ("AICc (chosen)",)),
    }


def test_what_could_not_be_tested_is_a_dash_that_nobody_prefers(results):
    curve = results.curves.curves[0]
    bare = replace(curve, candidates=(replace(curve.candidates[1], backtest=None),))
    alone = replace(results, curves=replace(results.curves, curves=(bare,)))
    (row,) = candidate_rows(alone)
    assert (row.aicc_above, row.backtest, row.preferred) == (0, None, ("AICc (chosen)",))
    assert "<td class=n>0.00<td class=n>–<td>AICc (chosen)" in laws_html(alone)


def test_a_study_without_fits_has_no_rows(results):
    assert law_rows(replace(results, curves=None)) == candidate_rows(replace(results, curves=None)) == []
