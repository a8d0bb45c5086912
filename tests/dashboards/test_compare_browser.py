"""The comparison page in a real browser: drawn, operable, self-contained, at every width and in both themes."""

import csv
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dashboards.compare import comparison_html
from dashboards.page import write_page_file
from tests.dashboards.browsing import SIGHTS, Visit, visiting


@pytest.fixture(scope="module")
def address(results, other_study, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("comparison") / "compare.html"
    return write_page_file(path, comparison_html([results, other_study])).as_uri()


@pytest.fixture(scope="module", params=SIGHTS, ids=str)
def visit(request, browser, address) -> Iterator[Visit]:
    with visiting(browser, address, *request.param) as opened:
        yield opened


def test_two_figures_per_family_are_drawn_and_nothing_overflows(visit):
    assert visit.page.locator(".plot .main-svg").count() >= 2 * 3
    names = visit.page.locator("#curves-0 .legendtext").all_text_contents()
    assert names == ["quick & dirty SE", "quick & dirty ME", "other SE", "other ME"]
    visit.is_well()


def test_axis_and_metric_redraw_the_curves_of_both_studies_and_no_difference(visit):
    page, difference = visit.page, visit.y("differences-0")
    before = visit.x("curves-0"), visit.y("curves-0")
    page.get_by_text("total params", exact=True).click()
    visit.wait("document.getElementById('curves-2')._fullData.every((trace) => trace.x[0] > 1000)")
    page.get_by_text("log loss", exact=True).click()
    visit.wait("document.getElementById('curves-2')._fullData.at(-1).y[0] < 0.6")
    assert visit.x("curves-0") != before[0]
    assert visit.y("curves-0") != before[1]
    assert visit.y("differences-0") == difference
    visit.is_well()


def test_resting_on_a_difference_names_its_cell_and_the_trials_of_both(visit, results):
    said = visit.hover("differences-0", 0, 1)
    assert "scale 2×, 1 sets" in said
    mine = [t.trial_id for t in results.finished if (t.family, t.arm, t.scale) == ("dcnv2", "SE", 2.0)]
    assert len(mine) == 3
    assert all(said.count(trial_id) == 2 for trial_id in mine)  # both studies have the same trials


def test_the_table_of_cells_sorts_by_difference(visit):
    for descending in (False, True):
        visit.page.locator("#cells th", has_text="difference").get_by_role("button").click()
        shown = [float(cell) for cell in visit.column("cells", "difference")]
        assert shown == sorted(shown, reverse=descending)
        assert max(shown) == pytest.approx(0.01)


def test_the_differences_can_be_downloaded_with_their_intervals(visit):
    with visit.page.expect_download() as download:
        visit.page.locator("button.csv[data-panel='differences-0']").click()
    rows = list(csv.DictReader(download.value.path().open(newline="")))
    assert [float(row["y"]) for row in rows] == pytest.approx([0.01] * 7)
    assert all(float(row["error_plus"]) > 0 and float(row["error_minus"]) > 0 for row in rows)


def test_a_study_of_other_families_is_compared_in_words(browser, results, other_study, tmp_path):
    """Nothing is shared: figures say so instead of staying empty."""
    renamed = tuple(replace(trial, family=f"{trial.family}-b") for trial in other_study.trials)
    page = comparison_html([results, replace(other_study, trials=renamed)])
    address = write_page_file(tmp_path / "compare.html", page).as_uri()
    with visiting(browser, address, 390, "light") as visit:
        assert visit.page.get_by_text("share no finished cell").is_visible()
        assert visit.page.get_by_text("No cell is finished in both studies.").is_visible()
        visit.is_well()
