"""The ablation page: safe and whole as text, drawn in a real browser."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dashboards.ablations import report_page
from dashboards.page import page_html
from dashboards.pages import write_page
from tests.dashboards.browsing import DRAWN, SIGHTS, visiting

ROOT = Path(__file__).parents[3]
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


@pytest.mark.parametrize(("width", "theme"), SIGHTS[1:3])
def test_the_page_is_drawn_fits_and_does_not_complain(browser, ablation_folder, width, theme):
    with visiting(browser, write_page("ablations", ablation_folder).as_uri(), width, theme) as visit:
        assert visit.page.locator(".plot .main-svg").count() >= 4
        shown = visit.page.evaluate(FIRST_X)
        for choice in ("SE", "2×"):
            visit.page.locator(".buttons").get_by_text(choice, exact=True).click()
            visit.wait(DRAWN)
            assert visit.page.evaluate(FIRST_X) != shown
            shown = visit.page.evaluate(FIRST_X)
        visit.is_well()
