"""The index in a real browser: every study to be read, sorted and opened, at every width and in both themes."""

from collections.abc import Iterator

import pytest

from dashboards.index import StudyEntry, index_html
from dashboards.page import page_html, write_page_file
from dashboards.scaling import report_page
from tests.dashboards.browsing import DRAWN, SIGHTS, Visit, visiting

PROBLEM = "study.json is broken: expected an object at line 1"
LONG = "a-study-of-everything-with-a-very-long-name-indeed"
ENTRIES = (
    StudyEntry("newest & best", "scaling", "world", "2026-01-03 10:00 UTC", 63, 1, 1, "dcnv2", 0.79, ""),
    StudyEntry(LONG, "ablations", "criteo_1tb_sample", "2026-01-02 10:00 UTC", 5, 0, 0, "dnn", 0.65, ""),
    StudyEntry("unfinished", "tuning", "world", "2026-01-01 10:00 UTC", 0, 0, 40, None, None, ""),
    StudyEntry("broken", "", "", "", 0, 0, 0, None, None, PROBLEM),
)


@pytest.fixture(scope="module")
def address(results, tmp_path_factory) -> str:
    """A storage whose newest study has a report."""
    storage = tmp_path_factory.mktemp("storage")
    (storage / ENTRIES[0].name).mkdir()
    write_page_file(storage / ENTRIES[0].name / "report.html", page_html(report_page(results)))
    return write_page_file(storage / "index.html", index_html("storage", ENTRIES)).as_uri()


@pytest.fixture(params=SIGHTS, ids=str)
def visit(request, browser, address) -> Iterator[Visit]:
    with visiting(browser, address, *request.param) as opened:
        yield opened


def test_every_study_is_listed_newest_first_and_nothing_overflows(visit):
    assert visit.column("studies", "study") == [entry.name for entry in ENTRIES]
    assert visit.page.get_by_text(PROBLEM).is_visible()
    visit.is_well()


def test_dates_stay_in_one_line_and_the_name_in_sight(visit):
    heights = visit.page.evaluate("[...document.querySelectorAll('#studies tbody tr')].map((row) => row.offsetHeight)")
    assert heights[2] < 40
    visit.page.evaluate("document.querySelector('.scroll').scrollLeft = 10_000")
    name = visit.page.locator("#studies tbody td").first.bounding_box()
    assert name["x"] >= visit.page.locator(".scroll").bounding_box()["x"]
    assert name["width"] < visit.page.viewport_size["width"] / 2


def test_a_click_on_a_column_sorts_with_missing_numbers_last(visit):
    auc = visit.page.locator("#studies th", has_text="its test AUC").get_by_role("button")
    auc.click()
    assert visit.column("studies", "study")[:2] == [LONG, "newest & best"]
    auc.click()
    assert visit.column("studies", "study")[:2] == ["newest & best", LONG]
    visit.page.locator("#studies th", has_text="recipe").get_by_role("button").click()
    assert visit.column("studies", "study") == [LONG, "newest & best", "unfinished", "broken"]
    visit.is_well()


def test_a_study_leads_to_its_report(visit):
    visit.page.get_by_role("link", name="newest & best").click()
    visit.wait(DRAWN)
    assert visit.page.url.endswith("/newest%20%26%20best/report.html")
    assert visit.page.title() == "quick & dirty · scaling report"
    assert visit.complaints == []
