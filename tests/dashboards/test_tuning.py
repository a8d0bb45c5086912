"""The tuning page: its tables against numpy on the raw rows, and the page in a real browser."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dashboards.page import page_html
from dashboards.pages import write_page
from dashboards.tables import Metric, Model
from dashboards.tuning import report_page
from dashboards.tuning_figures import curve_figure, samples_figure, winners_figure
from dashboards.tuning_tables import (
    Setting,
    Shown,
    TuningResults,
    group_curves,
    survival_sentences,
    tuned_models,
    winner_rows,
)
from recscale.records import Tuning
from tests.dashboards.browsing import SIGHTS, visiting
from tests.dashboards.tuning_study import CELLS, FAMILIES, members, trials

X_OF = "(id) => Array.from(document.getElementById(id)._fullData[0].x)"


def test_curves_are_found_by_arm_and_group(tuning: TuningResults) -> None:
    assert tuned_models(tuning) == [Model(family, "fair") for family in FAMILIES]
    curves = group_curves(tuning.study, Model("dcnv2", "fair"), Metric.AUC)
    assert set(curves) == {(arm, group) for arm in ("SE", "ME") for group in Tuning}
    for (arm, group), curve in curves.items():
        for point in curve.points:
            rows = [row for row in members(trials(), "dcnv2", group, arm) if row["scale"] == point.scale]
            assert point.mean == pytest.approx(np.mean([row["test_auc"] for row in rows]))
            assert point.std == pytest.approx(np.std([row["test_auc"] for row in rows], ddof=1))


def test_the_figure_draws_both_arms_tuned_and_untuned(tuning: TuningResults) -> None:
    drawn = curve_figure(tuning, Model("dcnv2", "fair"), Metric.AUC)
    assert [trace.name for trace in drawn.data] == ["SE untuned", "SE tuned", "ME untuned", "ME tuned"]
    assert all(list(trace.x) == [1.0, 4.0] for trace in drawn.data)
    assert {trace.line.dash for trace in drawn.data if "untuned" in trace.name} == {"dot"}
    assert not curve_figure(tuning, Model("nope", "fair"), Metric.AUC).data


def test_every_family_has_its_sentence(tuning: TuningResults) -> None:
    sentences = survival_sentences(tuning.study)
    assert [family for family, _ in sentences] == list(FAMILIES)
    assert all("the fall does not survive tuning beyond seed noise" in sentence for _, sentence in sentences)


def test_winners_stand_beside_the_untuned_settings_and_what_the_trials_came_to(tuning: TuningResults) -> None:
    rows = winner_rows(tuning)
    assert len(rows) == len(FAMILIES) * len(CELLS)
    first, second = rows[0], rows[1]
    assert (first.winner, first.test_untuned) == (first.untuned, first.test_tuned)
    assert (second.winner.sample, second.untuned.sample) == (3, 0)
    assert second.endings == "1 diverged, 2 finished, 3 stopped"
    mine = [row for row in members(trials(), "dcnv2", "tuned", "SE") if row["scale"] == 4.0]
    aucs = [row["test_auc"] for row in mine]
    assert second.test_tuned is not None
    assert (second.test_tuned.mean, second.test_tuned.std) == (
        pytest.approx(np.mean(aucs)),
        pytest.approx(np.std(aucs, ddof=1)),
    )


@pytest.mark.parametrize("setting", list(Setting))
def test_figures_of_the_search_draw_every_sample_that_has_an_auc(tuning: TuningResults, setting: Setting) -> None:
    samples = [sample for sample in tuning.samples if sample.family == "dcnv2"]
    drawn = samples_figure(samples, setting, Shown.ALL)
    assert [trace.name for trace in drawn.data] == ["SE 1×", "SE 4×", "ME 4×, 4 sets"]
    for trace, (arm, scale, _) in zip(drawn.data, CELLS, strict=True):
        mine = [row for row in samples if (row.arm, row.scale) == (arm, scale) and row.valid_auc is not None]
        mine.sort(key=lambda row: row.winner)
        assert list(trace.x) == [getattr(row, setting.value) for row in mine]
        assert list(trace.y) == [row.valid_auc for row in mine]
        assert [symbol == "star" for symbol in trace.marker.symbol] == [row.winner for row in mine]
    winners = winners_figure([sample for sample in samples if sample.winner], setting)
    assert [(trace.name, len(trace.x)) for trace in winners.data] == [("dcnv2 SE", 2), ("dcnv2 ME", 1)]


def test_the_range_near_the_winners_holds_them_and_the_untuned_samples(tuning: TuningResults) -> None:
    samples = [sample for sample in tuning.samples if sample.family == "dcnv2"]
    low, high = samples_figure(samples, Setting.DROPOUT, Shown.NEAR_WINNERS).layout.yaxis.range
    judged = [sample.valid_auc or 0.0 for sample in samples if sample.winner or sample.sample == 0]
    assert low < min(judged) < max(judged) < high
    assert samples_figure(samples, Setting.DROPOUT, Shown.ALL).layout.yaxis.range is None


def test_the_page_says_everything_and_escapes_it(tuning: TuningResults) -> None:
    page = page_html(report_page(tuning))
    for title in (
        "Verdict",
        "Tuned against untuned",
        "What the search chose",
        "Every sample",
        "Every trial",
        "Provenance",
    ):
        assert f"<h2>{title}</h2>" in page
    assert "<script>alert" not in page
    assert "30 trials:" in page
    assert page.count("learning rate, dropout") == 4


def test_a_study_of_which_little_is_there_has_a_page(tuning_folder: Path, tmp_path: Path) -> None:
    rows = [{**row, "status": "missing", "test_auc": None} for row in trials()]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "trials.parquet")
    page = write_page("tuning", tmp_path).read_text()
    assert "curves.json has not been written" in page
    assert "No cell has a winner" in page
    shutil.copy(tuning_folder / "samples.parquet", tmp_path)
    assert 'id="winners-table"' in write_page("tuning", tmp_path).read_text()


@pytest.mark.parametrize(("width", "theme"), SIGHTS)
def test_the_page_is_drawn_fits_and_obeys_in_a_browser(
    browser: Any, tuning_folder: Path, width: int, theme: str
) -> None:
    with visiting(browser, write_page("tuning", tuning_folder).as_uri(), width, theme) as visit:
        page = visit.page
        assert page.locator(".plot .main-svg").count() >= 2 * len(FAMILIES) + 1
        before = {name: page.evaluate(X_OF, name) for name in ("winners", "samples-1", "tuned-0")}
        page.get_by_text("dropout", exact=True).first.click()
        visit.wait("document.getElementById('samples-1')._fullData[0].x.some((x) => x > 0.1)")
        after = {name: page.evaluate(X_OF, name) for name in before}
        assert after["samples-1"] != before["samples-1"]
        assert after["tuned-0"] == before["tuned-0"]
        page.locator("#winners-table th", has_text="test AUC tuned").get_by_role("button").click()
        shown = [float(cell) for cell in visit.column("winners-table", "test AUC tuned")]
        assert len(shown) == len(FAMILIES) * len(CELLS)
        assert shown == sorted(shown)
        visit.is_well()
