"""Pages along an axis in a real browser."""

from dataclasses import replace

import pytest

from dashboards import axis
from dashboards.page import page_html
from tests.dashboards.browsing import SIGHTS, visiting


@pytest.mark.parametrize("sight", SIGHTS[1:3], ids=str)
def test_a_page_along_an_axis_is_drawn_with_its_privacy_and_every_choice_works(browser, axis_results, tmp_path, sight):
    path = tmp_path / "report.html"
    trials = tuple(trial for trial in axis_results.trials if trial.family == "dcnv2")
    path.write_text(page_html(axis.report_page(axis.DATA_AMOUNT, replace(axis_results, trials=trials))))
    with visiting(browser, path.as_uri(), *sight) as visit:
        page = visit.page
        assert page.locator(".plot .main-svg").count() >= 5
        names = ("quality-0", "abundance-0-0", "abundance-0-1", "privacy-0", "detected-0")
        before = {name: visit.y(name) for name in names}
        page.get_by_text("log loss", exact=True).first.click()
        page.get_by_text("sets concatenated", exact=True).first.click()
        page.get_by_text("within one label", exact=True).first.click()
        page.get_by_label("Configuration").select_option(index=2)
        visit.wait("document.getElementById('detected-0')._fullData[0].line.dash === 'dash'")
        visit.wait("document.getElementById('quality-0')._fullData.at(-1).y[0] < 0.6")
        changed = {name for name in names if visit.y(name) != before[name]}
        assert changed >= {"quality-0", "abundance-0-0", "abundance-0-1", "privacy-0"}
        page.get_by_text("Every configuration by itself").click()
        assert page.locator("details td", has_text="SE 4×, K = 40").is_visible()
        visit.is_well()


def test_groups_of_categories_stand_under_their_names(browser, decay_results, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page_html(axis.report_page(axis.DECAY, decay_results)))
    with visiting(browser, path.as_uri(), 1440, "light") as visit:
        shown = visit.page.locator("#quality-0 .xtick2 text").all_text_contents()
        ticks = visit.page.locator("#quality-0 .xtick text").all_text_contents()
        assert shown == ["adam", "lazyadam"]  # in two lines
        assert ticks == ["none", "coupled 1e-06", "decoupled 0.01"] * 2
        assert visit.complaints == []
