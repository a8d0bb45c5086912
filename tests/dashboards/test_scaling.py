"""One file, safe, small, and useful whatever is missing."""

import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dashboards.evidence import Evidence
from dashboards.page import page_html
from dashboards.scaling import report_page

ROOT = Path(__file__).parents[2]
TITLES = (
    "Verdict",
    "Scaling curves",
    "Beyond the grid",
    "Paired on the same test rows",
    "Equal budgets",
    "Is it only ensembling?",
    "Collapse",
    "Does IA predict quality?",
    "Cost against quality",
    "Pareto front",
    "Every trial",
    "Provenance",
)


class Elements(HTMLParser):
    """Collects start tags with attributes and the text outside scripts and styles."""

    def __init__(self):
        super().__init__()
        self.tags, self.words, self.raw = [], [], False

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.raw = tag in ("script", "style")

    def handle_endtag(self, tag):
        self.raw = False

    def handle_data(self, data):
        if not self.raw:
            self.words.append(data)


@pytest.fixture(scope="module")
def page(results):
    return page_html(report_page(results))


def parsed(page):
    elements = Elements()
    elements.feed(page)
    return elements


def test_the_page_refers_to_nothing_outside_itself(page):
    tags = parsed(page).tags
    references = {attrs[name] for _, attrs in tags for name in ("src", "href", "action", "data") if name in attrs}
    assert references == {"data:,"}
    policy = next(attrs["content"] for _, attrs in tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_hostile_names_are_text(page):
    elements = parsed(page)
    assert sum(tag == "script" for tag, _ in elements.tags) == 3
    assert any("<script>alert(1)</script></script>" in word for word in elements.words)
    assert "<script>alert" not in page


def test_every_section_is_there(page):
    for title in TITLES:
        assert f"<h2>{title}</h2>" in page
    assert "63 trials:" in page
    assert page.count("How to read this.") == 10
    assert sorted(TITLES, key=lambda title: page.index(f"<h2>{title}</h2>")) == list(TITLES)


def test_five_hundred_trials_stay_below_six_megabytes(large_results, tmp_path):
    (tmp_path / "report.html").write_text(page_html(report_page(large_results)))
    assert len(large_results.trials) > 500
    assert (tmp_path / "report.html").stat().st_size < 6_000_000


def test_missing_files_are_said_in_a_sentence(results):
    bare = page_html(report_page(replace(results, curves=None, spectra=None, provenance=(), evidence=Evidence())))
    evidence = ("associations.json", "equal_budget.parquet", "ensembles.parquet")
    for name in ("curves.json", "spectra.parquet", "provenance.json", *evidence):
        assert f"{name} has not been written" in bare


def test_a_study_with_nothing_finished_says_so(results):
    unfinished = tuple(trial for trial in results.trials if trial.status != "finished")
    bare = page_html(report_page(replace(results, trials=unfinished, curves=None, spectra=None)))
    assert "No trial of this study has finished yet" in bare
    assert "is not finite" in bare
    assert len(bare) < 30_000


def test_a_study_of_one_arm_and_one_trial_is_drawn(results):
    alone = replace(results, trials=results.trials[:1], curves=None, spectra=None)
    assert 'id="scaling-0"' in page_html(report_page(alone))


def test_reports_import_neither_torch_nor_ray_nor_mlflow():
    code = "import sys, dashboards.scaling; print(*{'torch', 'ray', 'mlflow'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert answer.stdout.strip() == ""
