"""Everything that a mouse can do, a keyboard can: Tab reaches it, a key operates it, and the focus is seen."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dashboards import scaling
from dashboards.compare import comparison_html
from dashboards.index import StudyEntry, index_html
from dashboards.page import page_html, write_page_file
from tests.dashboards.browsing import OVERFLOW, Visit, visiting

ENTRIES = tuple(
    StudyEntry(name, "scaling", "world", "2026-01-03 10:00 UTC", count, 0, 0, "dnn", 0.7, "")
    for name, count in (("b", 1), ("a", 2))
)
PAGES: dict[str, Callable[[Callable[[str], Any]], str]] = {
    "scaling": lambda study: page_html(scaling.report_page(study("results"))),
    "compare": lambda study: comparison_html([study("results"), study("other_study")]),
    "index": lambda study: index_html("storage", ENTRIES),
}
OPERABLE = "a[href], button, select, summary, .scroll[tabindex], input:checked"
"""What Tab must reach: of the radio buttons of one choice it is the chosen one, arrows reach the others."""
MARK = """(operable) => {
    const hidden = (node) => node.closest('details:not([open])') && !node.matches('summary');
    const nodes = [...document.querySelectorAll(operable)].filter((node) => !hidden(node));
    nodes.forEach((node, index) => { node.dataset.place = index; });
    return nodes.length;
}"""
FOCUSED = """() => {
    const node = document.activeElement, seen = node.matches('.buttons input') ? node.nextElementSibling : node;
    return [node.dataset.place ?? null, getComputedStyle(seen).outlineStyle];
}"""


@pytest.fixture(scope="module")
def addresses(request, tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pages")
    made = {name: make(request.getfixturevalue) for name, make in PAGES.items()}
    return {name: write_page_file(folder / f"{name}.html", html).as_uri() for name, html in made.items()}


@pytest.fixture(params=list(PAGES))
def visit(request, browser, addresses) -> Iterator[Visit]:
    with visiting(browser, addresses[request.param], 1440, "light") as opened:
        yield opened


@pytest.fixture
def report(browser, addresses) -> Iterator[Visit]:
    with visiting(browser, addresses["scaling"], 390, "dark") as opened:
        yield opened


def test_tab_reaches_everything_in_order_and_shows_where_it_is(visit):
    expected = visit.page.evaluate(MARK, OPERABLE)
    reached = []
    while len(reached) < expected:
        visit.page.keyboard.press("Tab")
        place, outline = visit.page.evaluate(FOCUSED)
        assert place is not None, visit.page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        assert outline != "none", visit.page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        reached.append(int(place))
    assert reached == list(range(expected))


def test_arrows_choose_among_buttons(report):
    before = report.x("scaling-0")
    report.page.locator("input[data-control='axis']").first.focus()
    report.page.keyboard.press("ArrowRight")
    report.wait("document.getElementById('scaling-2')._fullData.at(-1).x[0] > 1000")
    assert report.page.locator("input[data-control='axis']").nth(1).is_checked()
    assert report.x("scaling-0") != before


def test_arrows_choose_in_a_list(report):
    before = report.y("spectra-se")
    report.page.get_by_label("Family and scale").focus()
    report.page.keyboard.press("ArrowDown")
    report.wait(f"document.getElementById('spectra-se')._fullData.at(-1).y[2] !== {before[2]}")
    assert report.y("spectra-se") != before


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_keys_sort_a_table_unfold_laws_and_download_numbers(report, key):
    page = report.page
    page.locator("#trials th", has_text="seconds").get_by_role("button").focus()
    page.keyboard.press(key)
    shown = [float(cell) for cell in report.column("trials", "seconds") if cell != "–"]
    assert shown == sorted(shown)
    page.locator("summary", has_text="Every law that was tried").focus()
    page.keyboard.press(key)
    assert page.locator("#candidates").is_visible()
    page.locator("button.csv[data-panel='cost']").focus()
    with page.expect_download() as download:
        page.keyboard.press(key)
    assert download.value.suggested_filename == "cost.csv"
    assert page.evaluate(OVERFLOW) <= 0
    assert report.complaints == []
