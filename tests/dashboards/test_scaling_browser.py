"""The scaling page in a real browser: drawn, operable, self-contained, on a phone and a desk, by day and by night."""

import csv
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dashboards.page import page_html, write_page_file
from dashboards.scaling import report_page
from tests.dashboards.browsing import DRAWN, OVERFLOW, SIGHTS, Visit, visiting

LIGHT_ON_DARK, DARK_ON_LIGHT = "rgb(230, 233, 236)", "rgb(27, 31, 36)"
TEXT_COLOR = "document.querySelector('#scaling-0 .xtick text').style.fill"


@pytest.fixture(scope="module")
def address(results, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_page_file(path, page_html(report_page(results)))
    return path.as_uri()


@pytest.fixture(scope="module", params=SIGHTS, ids=str)
def visit(request, browser, address) -> Iterator[Visit]:
    with visiting(browser, address, *request.param) as opened:
        yield opened


def test_the_page_is_drawn_fits_and_needs_no_network(visit):
    assert visit.page.locator(".plot .main-svg").count() >= 11
    visit.is_well()


def test_text_stands_out_in_both_themes(visit):
    dark = visit.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert visit.page.evaluate(TEXT_COLOR) == (LIGHT_ON_DARK if dark else DARK_ON_LIGHT)


def test_resting_on_a_fitted_curve_names_its_law(visit):
    curve = visit.page.evaluate("document.getElementById('scaling-0')._fullData.findIndex((t) => t.name === 'SE law')")
    said = visit.hover("scaling-0", curve, 30)
    assert said.startswith("SE log_linear")
    assert "test_auc = 0." in said


def test_every_choice_redraws_its_figures_and_no_other(visit):
    page = visit.page
    before = {name: visit.x(name) for name in ("scaling-0", "scaling-2", "cost")}
    page.get_by_text("table params", exact=True).first.click()
    visit.wait("document.getElementById('scaling-2')._fullData.at(-1).x[0] > 1000")
    assert visit.x("scaling-0") != before["scaling-0"]
    assert visit.x("cost") == before["cost"]
    auc = visit.y("scaling-0")
    page.get_by_text("log loss", exact=True).first.click()
    visit.wait("document.getElementById('scaling-2')._fullData.at(-1).y[0] < 0.6")
    assert visit.y("scaling-0") != auc
    spectrum = visit.y("spectra-se")
    page.get_by_label("Family and scale").select_option(index=2)
    visit.wait("document.getElementById('spectra-se')._fullData[0].x.length < 32")
    assert visit.y("spectra-se") != spectrum
    abundance = visit.y("abundance-0")
    page.get_by_text("by their frequency in the train split").click()
    visit.wait(DRAWN)
    assert visit.y("abundance-0") != abundance
    visit.is_well()


def test_evidence_follows_its_own_controls(visit):
    page = visit.page
    scaling, budget, quality = (visit.y(name) for name in ("scaling-0", "budget", "prediction"))
    page.locator("[data-control='budget-family']").select_option(index=1)
    page.get_by_text("gain over the base", exact=True).click()
    visit.wait("document.getElementById('prediction')._fullData.at(-1).y[0] < 0.1")
    assert visit.y("budget") != budget
    assert visit.y("prediction") != quality
    assert visit.y("scaling-0") == scaling
    visit.is_well()


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
    visit.wait(f"{TEXT_COLOR} !== '{before}'")
    assert {before, page.evaluate(TEXT_COLOR)} == {LIGHT_ON_DARK, DARK_ON_LIGHT}
