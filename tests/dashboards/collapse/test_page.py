"""The collapse page: every section with its sentence, whatever is missing, drawn in a real browser."""

import base64
import json
import re
import shutil
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from dashboards.collapse import report_page
from dashboards.page import page_html
from dashboards.pages import write_page
from tests.dashboards.browsing import SIGHTS, visiting

ROOT = Path(__file__).parents[3]
MARGINAL = "Array.from(document.getElementById('marginals')._fullData[0].y)"
PUSH = "Array.from(document.getElementById('toy-alpha')._fullData[1].y)"


def test_every_section_opens_with_what_was_found(collapse):
    page = page_html(report_page(collapse))
    assert page.count('<p class="found">') == 6
    for title in ("Spectra", "Information abundance", "Evidence I:", "Evidence II:", "Evidence III:", "Evidence IV:"):
        assert f"<h2>{title}" in page
    assert "<h2>Every trial</h2>" in page
    assert "<script>alert" not in page


def test_every_figure_has_its_place_in_the_order_of_the_paper(collapse):
    """Four labels, of which dcnv2 has a regularised twin; the toy has five figures."""
    expected = [
        "spectra-se",
        "spectra-me",
        *(f"{kind}-{place}" for kind in ("trained", "training") for place in range(4)),
    ]
    expected += ["fields", "heat", "marginals", "toy", "toy-alpha", "toy-spectrum", "toy-product", "toy-energy"]
    expected.append("regularizer-shown")
    expected += ["regularizer-ia", "regularizer-auc", "regularizer-path", "losses", "families-ia", "families-auc"]
    page = page_html(report_page(collapse))
    assert re.findall('class="plot" id="([^"]+)"', page) == expected
    packed = re.search('id="panels">([^<]+)<', page).group(1)
    assert [panel["id"] for panel in json.loads(zlib.decompress(base64.b64decode(packed)))] == expected


def test_missing_tables_are_said_in_a_sentence(collapse):
    study = replace(collapse.study, spectra=None, provenance=())
    bare = page_html(report_page(replace(collapse, study=study, looks=None, sub_embeddings=None, toy=None)))
    for sentence in (
        "spectra.parquet has not",
        "training.parquet has no",
        "No single-embedding trial has sub-",
        "No toy run is stored",
    ):
        assert sentence in bare
    assert bare.count('<p class="found">') == 6


def test_a_study_with_nothing_finished_shows_the_toy_alone(collapse):
    study = replace(collapse.study, trials=tuple(replace(trial, status="missing") for trial in collapse.study.trials))
    page = page_html(report_page(replace(collapse, study=study)))
    assert "No trial of this study has finished yet" in page
    assert page.count('<p class="found">') == 1
    assert 'id="toy"' in page


def test_a_study_of_one_family_and_one_trial_is_drawn(collapse):
    study = replace(collapse.study, trials=collapse.study.trials[:1])
    page = page_html(report_page(replace(collapse, study=study)))
    assert 'id="families-auc"' in page
    assert "No family has single-embedding trials at two scales." in page


def test_the_recipe_has_its_page(collapse_folder, tmp_path):
    folder = shutil.copytree(collapse_folder, tmp_path / "study")
    assert write_page("collapse", folder) == folder / "report.html"
    assert (folder / "report.html").stat().st_size < 6_000_000


def test_the_page_imports_neither_torch_nor_ray_nor_mlflow():
    code = "import sys, dashboards.collapse; print(*{'torch', 'ray', 'mlflow'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert answer.stdout.strip() == ""


@pytest.mark.parametrize(("width", "theme"), SIGHTS[1:3])
def test_the_page_is_drawn_fits_and_follows_its_choices(width, theme, browser, collapse_folder, tmp_path):
    address = write_page("collapse", shutil.copytree(collapse_folder, tmp_path / "study")).as_uri()
    with visiting(browser, address, width, theme) as visit:
        page = visit.page
        before = page.evaluate(MARGINAL)
        assert before == pytest.approx([1.04, 2.04, 3.04, 4.04, 5.04])
        page.get_by_label("Family, scale and set").select_option(label="dcnv2, scale 2×, set 2 of 2")
        visit.wait(f"{MARGINAL}[0] !== {before[0]}")
        assert page.evaluate(MARGINAL) == pytest.approx([value + 0.5 for value in before])
        assert len(page.evaluate(PUSH)) == 5
        page.locator('input[data-control="toy-dim"]').nth(1).check(force=True)
        visit.wait(f"{PUSH}.length === 10")
        visit.is_well()
