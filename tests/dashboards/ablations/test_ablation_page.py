"""The ablation page: safe and whole as text, drawn in a real browser."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dashboards.ablations import report_page
from dashboards.page import page_html
from dashboards.pages import write_page

ROOT = Path(__file__).parents[3]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
DRAWN = """new Promise((resolve) => {
    const drawn = (div) => div.querySelector('.main-svg') && div._fullData.length
        && div._fullData.every((trace) => trace.x.length);
    const look = () => [...document.querySelectorAll('.plot')].every(drawn) ? resolve() : requestAnimationFrame(look);
    look();
})"""
FIRST_X = "Array.from(document.getElementById('differences-0')._fullData[0].x)"


def test_every_section_and_every_variant_is_there(ablation_results):
    page = page_html(report_page(ablation_results))
    for title in ("Verdict", "Variants", "Every trial", "Provenance"):
        assert f"<h2>{title}</h2>" in page
    assert page.count("<b>one interaction</b>: worse than ME by") == 4
    assert page.count("<td>SE + spectrum flattened</td>") == 4
    assert "102 trials:" in page
    assert page.count("of 8 differences are beyond seed noise.") == page.count("of 7 differences") == 2


def test_hostile_names_are_text(ablation_results):
    assert "<script>alert" not in page_html(report_page(ablation_results))


def test_a_study_with_nothing_finished_says_so(ablation_results):
    failed = tuple(trial for trial in ablation_results.trials if trial.status != "finished")
    page = page_html(report_page(replace(ablation_results, trials=failed)))
    assert "No trial of this study has finished yet" in page
    assert "ValueError: not finite" in page


def test_the_page_imports_neither_torch_nor_ray_nor_mlflow():
    code = "import sys, dashboards.ablations; print(*{'torch', 'ray', 'mlflow'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert answer.stdout.strip() == ""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_page_is_drawn_fits_and_does_not_complain(ablation_folder):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    address, complaints = write_page("ablations", ablation_folder).as_uri(), []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for width, theme in ((390, "dark"), (1440, "light")):
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(address)
            page.evaluate(DRAWN)
            assert page.locator(".plot .main-svg").count() >= 4
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
            shown = page.evaluate(FIRST_X)
            for choice in ("SE", "2×"):
                page.locator(".buttons").get_by_text(choice, exact=True).click()
                page.evaluate(DRAWN)
                assert page.evaluate(FIRST_X) != shown
                shown = page.evaluate(FIRST_X)
        browser.close()
    assert complaints == []
