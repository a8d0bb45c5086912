"""The page along one axis: what it says, what it draws, and what it says where there is nothing to draw."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dashboards.axis import DATA_AMOUNT, DECAY, DEPTH, report_page
from dashboards.axis_figures import abundance_pairs, line_figure, quality_panels
from dashboards.axis_tables import lines
from dashboards.axis_words import change_rows, sentences
from dashboards.page import page_html
from dashboards.pages import PAGES, write_page

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def page(axis_results):
    return page_html(report_page(DATA_AMOUNT, axis_results))


def _family(results, family="dcnv2"):
    return [trial for trial in results.trials if trial.family == family]


def test_sentences_count_what_the_intervals_say(axis_results):
    whole, rest = sentences(_family(axis_results), DATA_AMOUNT.axis)
    assert whole.startswith("From train fraction 0.1 to 1: test AUC rises in 3 of 3 configurations (+0.0")
    assert "; IA/K rises in 3 of 3 configurations (+0.1000 to +0.1000)" in whole
    assert "; IA/K by frequency stays within seed noise in 3 of 3 configurations (+0.0000 to +0.0000)" in whole
    assert rest.startswith("Without the first value, from train fraction 0.25 to 1: IA/K rises in 3 of 3")
    assert "AUC" not in rest


def test_one_configuration_is_told_with_its_interval(axis_results):
    alone = [trial for trial in _family(axis_results) if trial.scale == 1]
    whole, _ = sentences(alone, DATA_AMOUNT.axis)
    assert whole.startswith("From train fraction 0.1 to 1: test AUC rises by 0.0100 [0.0")
    assert "IA/K by frequency changes by +0.0000 [" in whole
    assert "within seed noise with 3 and 3 seeds" in whole


def test_one_seed_is_no_interval_and_one_value_is_no_comparison(axis_results):
    seed = [trial for trial in _family(axis_results) if trial.seed == 0]
    assert "has no interval, for want of seeds, in 3 of 3 configurations" in sentences(seed, DATA_AMOUNT.axis)[0]
    value = [trial for trial in seed if trial.further == (("train_fraction", "1"),)]
    assert sentences(value, DATA_AMOUNT.axis) == ["Nothing to compare along train fraction yet."]


def test_decays_are_told_per_optimizer_against_none(decay_results):
    told = sentences(decay_results.trials, DECAY.axis)
    assert [sentence.split(":")[0] for sentence in told] == [
        "With adam, from decay none to coupled 1e-06",
        "With adam, from decay none to decoupled 0.01",
        "With lazy_adam, from decay none to coupled 1e-06",
        "With lazy_adam, from decay none to decoupled 0.01",
    ]
    assert "IA/K falls by 0.1000" in told[0]
    assert "IA/K by frequency changes by +0.0000" in told[0]
    rows = change_rows(decay_results.trials, DECAY.axis)
    assert [(row.line, row.stretch) for row in rows[:2]] == [
        ("adam, SE 1×, K = 10", "none to coupled 1e-06"),
        ("adam, SE 1×, K = 10", "none to decoupled 0.01"),
    ]


def test_a_wide_axis_is_logarithmic_with_a_tick_per_value(axis_results):
    table = lines(_family(axis_results), DATA_AMOUNT.axis, lambda trial: trial.test_auc)
    drawn = line_figure(table, DATA_AMOUNT.axis, {})
    assert drawn.layout.xaxis.type == "log"
    assert list(drawn.layout.xaxis.tickvals) == [0.1, 0.25, 1.0]
    narrow = [replace(line, points=line.points[:2]) for line in table]
    assert line_figure(narrow, DATA_AMOUNT.axis, {}).layout.xaxis.type == "linear"
    assert line_figure(table, DEPTH.axis, {}).layout.xaxis.type == "linear"


def test_groups_of_categories_share_a_legend_entry_and_no_line(decay_results):
    table = lines(decay_results.trials, DECAY.axis, lambda trial: trial.test_auc)
    drawn = line_figure(table, DECAY.axis, {})
    means = [trace for trace in drawn.data if trace.name]
    assert drawn.layout.xaxis.type == "multicategory"
    assert [set(trace.x[0]) for trace in means] == [{"adam"}, {"lazy<br>adam"}]
    assert [trace.showlegend for trace in means] == [True, False]


def test_both_ways_to_count_ids_stand_side_by_side_on_one_scale(axis_results):
    pair = abundance_pairs(axis_results, DATA_AMOUNT.axis)[0]
    starts = ("dcnv2, ids count once:", "dcnv2, ids count by frequency:")
    assert all(panel.title.startswith(start) for panel, start in zip(pair, starts, strict=True))
    for once, by_frequency in zip(*(panel.figures for panel in pair), strict=True):
        assert once.layout.yaxis.range == by_frequency.layout.yaxis.range
    assert [trace.name for trace in pair[0].figures[0].data if trace.name] == [
        "SE 1×, K = 10",
        "SE 4×, K = 40",
        "ME 4×, 4 sets, K = 10",
    ]


def test_every_section_is_there_and_hostile_names_are_text(page, axis_results):
    titles = ("Verdict on data amount", "Quality against train fraction", "Collapse against train fraction", "Privacy")
    for title in (*titles, "Every trial", "Provenance"):
        assert f"<h2>{title}</h2>" in page
    assert "<script>alert" not in page
    assert len(quality_panels(axis_results, DATA_AMOUNT.axis)) == 3
    assert "<h2>Privacy</h2>" not in page_html(report_page(DATA_AMOUNT, replace(axis_results, privacy=None)))


def test_another_studys_axis_is_said_to_be_missing(axis_results):
    assert "Nothing to compare along cross layers yet." in page_html(report_page(DEPTH, axis_results))


def test_a_study_with_nothing_finished_says_so(axis_results):
    unfinished = tuple(replace(trial, status="missing", test_auc=None) for trial in axis_results.trials)
    bare = page_html(report_page(DATA_AMOUNT, replace(axis_results, trials=unfinished)))
    assert "No trial of this study has finished yet" in bare


@pytest.mark.parametrize("recipe", ["data_amount", "depth", "decay"])
def test_every_recipe_has_its_page_and_is_told_from_the_others(recipe, study_folder):
    pages = {"data_amount": DATA_AMOUNT, "depth": DEPTH, "decay": DECAY}
    assert {*pages} < {*PAGES}
    assert f"Verdict on {pages[recipe].title}" in write_page(recipe, study_folder).read_text()


def test_the_page_imports_neither_torch_nor_ray_nor_mlflow():
    code = "import sys, dashboards.pages; print(*{'torch', 'ray', 'mlflow'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert answer.stdout.strip() == ""
