"""The page in a real browser: drawn, operable, self-contained, on a phone and a desk, by day and by night."""

import csv
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from dashboards import axis
from dashboards.page import page_html, write_page_file
from dashboards.scaling import report_page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
DRAWN = """[...document.querySelectorAll('.plot')].every((div) => div.querySelector('.main-svg')
    && div._fullData.length && div._fullData.every((trace) => trace.x.length))"""
FIRST_X = "(id) => Array.from(document.getElementById(id)._fullData.at(-1).x)"
FIRST_Y = "(id) => Array.from(document.getElementById(id)._fullData.at(-1).y)"
WAIT = """new Promise((resolve) => {
    const look = () => (CONDITION) ? resolve() : requestAnimationFrame(look);
    look();
})"""
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"
LIGHT_ON_DARK, DARK_ON_LIGHT = "rgb(230, 233, 236)", "rgb(27, 31, 36)"
TEXT_COLOR = "document.querySelector('#scaling-0 .xtick text').style.fill"


@dataclass
class Visit:
    """A page with everything it complained about and asked for."""

    page: "sync_api.Page"
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


def wait_until(page: "sync_api.Page", condition: str) -> None:
    """Waits inside the page, whose content policy forbids Playwright's own way, which is eval."""
    page.evaluate(WAIT.replace("CONDITION", condition))


@pytest.fixture(scope="module")
def address(results, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_page_file(path, page_html(report_page(results)))
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS.split())
        yield opened
        opened.close()


@contextmanager
def visiting(browser: "sync_api.Browser", address: str, width: int, theme: str) -> Iterator[Visit]:
    """A page that is drawn."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    opened = Visit(context.new_page())
    opened.page.on("console", lambda message: opened.complaints.append(message.text))
    opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.page.on("dialog", lambda dialog: (opened.complaints.append("dialog"), dialog.dismiss()))
    opened.page.on("request", lambda request: opened.requests.append(request.url))
    opened.page.goto(address)
    wait_until(opened.page, DRAWN)
    yield opened
    context.close()


SIGHTS = [(390, "light"), (390, "dark"), (1440, "light"), (1440, "dark")]


@pytest.fixture(scope="module", params=SIGHTS, ids=str)
def visit(request, browser, address) -> Iterator[Visit]:
    with visiting(browser, address, *request.param) as opened:
        yield opened


def test_the_page_is_drawn_fits_and_needs_no_network(visit, address):
    assert visit.page.locator(".plot .main-svg").count() >= 11
    assert visit.page.evaluate(OVERFLOW) <= 0
    assert visit.complaints == []
    assert {url for url in visit.requests if not url.startswith("data:")} == {address}


def test_text_stands_out_in_both_themes(visit):
    dark = visit.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert visit.page.evaluate(TEXT_COLOR) == (LIGHT_ON_DARK if dark else DARK_ON_LIGHT)


def test_every_choice_redraws_its_figures_and_no_other(visit):
    page = visit.page
    before = {name: page.evaluate(FIRST_X, name) for name in ("scaling-0", "scaling-2", "cost")}
    page.get_by_text("table params", exact=True).first.click()
    wait_until(page, "document.getElementById('scaling-2')._fullData.at(-1).x[0] > 1000")
    assert page.evaluate(FIRST_X, "scaling-0") != before["scaling-0"]
    assert page.evaluate(FIRST_X, "cost") == before["cost"]
    auc = page.evaluate(FIRST_Y, "scaling-0")
    page.get_by_text("log loss", exact=True).first.click()
    wait_until(page, "document.getElementById('scaling-2')._fullData.at(-1).y[0] < 0.6")
    assert page.evaluate(FIRST_Y, "scaling-0") != auc
    spectrum = page.evaluate(FIRST_Y, "spectra-se")
    page.get_by_label("Family and scale").select_option(index=2)
    wait_until(page, "document.getElementById('spectra-se')._fullData[0].x.length < 32")
    assert page.evaluate(FIRST_Y, "spectra-se") != spectrum
    abundance = page.evaluate(FIRST_Y, "abundance-0")
    page.get_by_text("by their frequency in the train split").click()
    wait_until(page, DRAWN)
    assert page.evaluate(FIRST_Y, "abundance-0") != abundance
    assert page.evaluate(OVERFLOW) <= 0
    assert visit.complaints == []


def test_evidence_follows_its_own_controls(visit):
    page = visit.page
    scaling, budget, quality = (page.evaluate(FIRST_Y, name) for name in ("scaling-0", "budget", "prediction"))
    page.locator("[data-control='budget-family']").select_option(index=1)
    page.get_by_text("gain over the base", exact=True).click()
    wait_until(page, "document.getElementById('prediction')._fullData.at(-1).y[0] < 0.1")
    assert page.evaluate(FIRST_Y, "budget") != budget
    assert page.evaluate(FIRST_Y, "prediction") != quality
    assert page.evaluate(FIRST_Y, "scaling-0") == scaling
    assert page.evaluate(OVERFLOW) <= 0
    assert visit.complaints == []


def test_the_table_sorts_with_missing_numbers_last(visit, results):
    page = visit.page
    header = page.locator("#trials th", has_text="test AUC")
    column = header.evaluate("(cell) => cell.cellIndex")
    read = f"[...document.querySelectorAll('#trials tbody tr')].map((row) => row.cells[{column}].textContent)"
    values = sorted(round(trial.test_auc, 6) for trial in results.finished)
    for order in (values, values[::-1]):
        header.get_by_role("button").click()
        shown = page.evaluate(read)
        assert [round(float(cell), 6) for cell in shown[:-2]] == pytest.approx(order)
        assert shown[-2:] == ["–", "–"]


def test_the_numbers_behind_a_figure_can_be_downloaded(visit):
    page = visit.page
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the numbers of Set diversity").click()
    rows = list(csv.DictReader(download.value.path().open(newline="")))
    assert download.value.suggested_filename == "diversity.csv"
    drawn = page.evaluate(
        "document.getElementById('diversity')._fullData.map((t) => [...t.x].map((x, i) => [x, t.y[i]]))"
    )
    assert [[float(row["x"]), float(row["y"])] for row in rows] == [point for trace in drawn for point in trace]
    assert all("trials" in row["text"] and float(row["error_plus"]) >= 0 for row in rows)


def test_a_failed_trial_unfolds_its_traceback(visit):
    summary = visit.page.locator("#trials summary")
    summary.click()
    assert "Traceback (most recent call last)" in visit.page.locator("#trials pre").inner_text()
    assert visit.page.evaluate(OVERFLOW) <= 0


def test_a_page_with_nothing_to_draw_does_not_complain(browser, results, tmp_path):
    unfinished = tuple(trial for trial in results.trials if trial.status != "finished")
    bare = replace(results, trials=unfinished, curves=None, spectra=None)
    write_page_file(tmp_path / "report.html", page_html(report_page(bare)))
    page, complaints = browser.new_page(), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((tmp_path / "report.html").as_uri())
    page.locator("#trials th", has_text="error").get_by_role("button").click()
    assert complaints == []
    page.close()


def test_a_change_of_theme_is_followed(visit):
    page = visit.page
    before = page.evaluate(TEXT_COLOR)
    page.emulate_media(color_scheme="light" if before == LIGHT_ON_DARK else "dark")
    wait_until(page, f"{TEXT_COLOR} !== '{before}'")
    assert {before, page.evaluate(TEXT_COLOR)} == {LIGHT_ON_DARK, DARK_ON_LIGHT}


@pytest.mark.parametrize("sight", SIGHTS[1:3], ids=str)
def test_a_page_along_an_axis_is_drawn_with_its_privacy_and_every_choice_works(browser, axis_results, tmp_path, sight):
    path = tmp_path / "report.html"
    trials = tuple(trial for trial in axis_results.trials if trial.family == "dcnv2")
    path.write_text(page_html(axis.report_page(axis.DATA_AMOUNT, replace(axis_results, trials=trials))))
    with visiting(browser, path.as_uri(), *sight) as opened:
        page = opened.page
        assert page.locator(".plot .main-svg").count() >= 5
        names = ("quality-0", "abundance-0-0", "abundance-0-1", "privacy-0", "detected-0")
        before = {name: page.evaluate(FIRST_Y, name) for name in names}
        page.get_by_text("log loss", exact=True).first.click()
        page.get_by_text("sets concatenated", exact=True).first.click()
        page.get_by_text("within one label", exact=True).first.click()
        page.get_by_label("Configuration").select_option(index=2)
        wait_until(page, "document.getElementById('detected-0')._fullData[0].line.dash === 'dash'")
        wait_until(page, "document.getElementById('quality-0')._fullData.at(-1).y[0] < 0.6")
        changed = {name for name in names if page.evaluate(FIRST_Y, name) != before[name]}
        assert changed >= {"quality-0", "abundance-0-0", "abundance-0-1", "privacy-0"}
        page.get_by_text("Every configuration by itself").click()
        assert page.locator("details td", has_text="SE 4×, K = 40").is_visible()
        assert page.evaluate(OVERFLOW) <= 0
        assert opened.complaints == []
        assert {url for url in opened.requests if not url.startswith("data:")} == {path.as_uri()}


def test_groups_of_categories_stand_under_their_names(browser, decay_results, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page_html(axis.report_page(axis.DECAY, decay_results)))
    with visiting(browser, path.as_uri(), 1440, "light") as opened:
        shown = opened.page.locator("#quality-0 .xtick2 text").all_text_contents()
        ticks = opened.page.locator("#quality-0 .xtick text").all_text_contents()
        assert shown == ["adam", "lazyadam"]  # in two lines
        assert ticks == ["none", "coupled 1e-06", "decoupled 0.01"] * 2
        assert opened.complaints == []
