"""The tuning page: its tables against numpy on the raw rows, and the page in a real browser."""

import json
import shutil
from collections.abc import Iterator
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
    load_tuning,
    survival_sentences,
    tuned_models,
    winner_rows,
)
from recscale.curves.curve import Curve, Observation, grouped_family
from recscale.curves.scaling import fit_curve
from recscale.curves.verdict import Better, Verdict, judge
from recscale.records import Tuning, to_plain

HOSTILE = "<script>alert(1)</script>"
FAMILIES = ("dcnv2", HOSTILE)
CELLS = (("SE", 1.0, 1), ("SE", 4.0, 1), ("ME", 4.0, 4))
SEEDS = (0, 1, 2)
SAMPLES = 6
SAME = ("SE", 1.0, 1)
"""The cell in which the untuned settings won, so that its trials are in both groups."""
FALLS = {"untuned": -0.004, "tuned": 0.0}


Row = dict[str, Any]


def _trial(family: str, cell: tuple[str, float, int], seed: int, groups: str, rng: np.random.Generator) -> Row:
    arm, scale, num_sets = cell
    change = FALLS[groups.split("+")[0]] if arm == "SE" else 0.003
    auc = 0.7 + change * (scale > 1) + rng.normal(0, 2e-4)
    return {
        "trial_id": f"{FAMILIES.index(family)}{arm}{scale:g}{seed}{groups[:1]}".ljust(12, "0"),
        "status": "finished",
        "family": family,
        "variant": "fair",
        "arm": arm,
        "scale": scale,
        "num_sets": num_sets,
        "seed": seed,
        "test_auc": auc,
        "test_log_loss": 1.2 - auc,
        "test_normalized_entropy": (1.2 - auc) / 0.56,
        "valid_auc": auc,
        "settings": groups,
        "error": None,
    }


def _trials() -> list[Row]:
    rng = np.random.default_rng(5)
    return [
        _trial(family, cell, seed, groups, rng)
        for family in FAMILIES
        for cell in CELLS
        for groups in (("untuned+tuned",) if cell == SAME else ("untuned", "tuned"))
        for seed in SEEDS
    ]


def _samples() -> list[Row]:
    rng = np.random.default_rng(6)
    rows = []
    for family in FAMILIES:
        for arm, scale, num_sets in CELLS:
            winner = 0 if (arm, scale, num_sets) == SAME else 3
            for number in range(SAMPLES):
                diverged = number == 5
                rows.append(
                    {
                        "cell": f"{FAMILIES.index(family)}{arm}{scale:g}",
                        "family": family,
                        "variant": "fair",
                        "arm": arm,
                        "scale": scale,
                        "num_sets": num_sets,
                        "sample": number,
                        "learning_rate": 1e-3 if number == 0 else float(10 ** rng.uniform(-4, -2)),
                        "weight_decay": 1e-6 if number == 0 else float(10 ** rng.uniform(-8, -4)),
                        "dropout": 0.2 if number == 0 else float(rng.uniform(0, 0.5)),
                        "near_edges": "learning_rate+dropout" if number == winner != 0 else "",
                        "ending": "diverged" if diverged else ("finished" if number in (0, winner) else "stopped"),
                        "winner": number == winner,
                        "valid_auc": None if diverged else 0.71 if number == winner else 0.70 - 0.01 * number,
                        "epochs": 2.0,
                        "seconds": 3.0,
                        "error": "training loss is nan" if diverged else None,
                    }
                )
    return rows


def _members(rows: list[Row], family: str, group: str, arm: str) -> list[Row]:
    """Trials of a curve; multi-embedding starts at the common base."""
    mine = [row for row in rows if row["family"] == family and group in row["settings"].split("+")]
    return [row for row in mine if row["arm"] == arm or (arm == "ME" and row["scale"] == 1.0)]


def _observations(rows: list[Row], metric: str) -> list[Observation]:
    return [Observation(row["scale"], row["scale"], row[metric], row["trial_id"]) for row in rows]


def _curves(rows: list[Row]) -> list[Curve]:
    return [
        fit_curve(
            _observations(_members(rows, family, group, arm), metric),
            family=grouped_family(family, group),
            variant="fair",
            arm=arm,
            metric=metric,
            replicates=100,
        ).curve
        for family in FAMILIES
        for group in Tuning
        for arm in ("SE", "ME")
        for metric in ("test_auc", "test_log_loss", "test_normalized_entropy")
    ]


def _verdicts(rows: list[Row]) -> list[Verdict]:
    return [
        judge(
            grouped_family(family, group),
            metric="test_auc",
            better=Better.HIGHER,
            single=_observations(_members(rows, family, group, "SE"), "test_auc"),
            multi=_observations(_members(rows, family, group, "ME"), "test_auc"),
        )
        for family in FAMILIES
        for group in Tuning
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished tuning study of two families."""
    path = tmp_path_factory.mktemp("studies") / "tune"
    path.mkdir()
    rows = _trials()
    pq.write_table(pa.Table.from_pylist(rows), path / "trials.parquet")
    pq.write_table(pa.Table.from_pylist(_samples()), path / "samples.parquet")
    curves = {"curves": _curves(rows), "verdicts": _verdicts(rows)}
    (path / "curves.json").write_text(json.dumps(to_plain(curves)))
    (path / "provenance.json").write_text(json.dumps({"dataset": "a world", "command": f"tuning.py {HOSTILE}"}))
    return path


@pytest.fixture(scope="module")
def tuning(folder: Path) -> TuningResults:
    """The study as its page reads it."""
    return load_tuning(folder)


def test_curves_are_found_by_arm_and_group(tuning: TuningResults) -> None:
    assert tuned_models(tuning) == [Model(family, "fair") for family in FAMILIES]
    curves = group_curves(tuning.study, Model("dcnv2", "fair"), Metric.AUC)
    assert set(curves) == {(arm, group) for arm in ("SE", "ME") for group in Tuning}
    for (arm, group), curve in curves.items():
        for point in curve.points:
            rows = [row for row in _members(_trials(), "dcnv2", group, arm) if row["scale"] == point.scale]
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
    mine = [row for row in _members(_trials(), "dcnv2", "tuned", "SE") if row["scale"] == 4.0]
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


def test_a_study_of_which_little_is_there_has_a_page(folder: Path, tmp_path: Path) -> None:
    rows = [{**row, "status": "missing", "test_auc": None} for row in _trials()]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "trials.parquet")
    page = write_page("tuning", tmp_path).read_text()
    assert "curves.json has not been written" in page
    assert "No cell has a winner" in page
    shutil.copy(folder / "samples.parquet", tmp_path)
    assert 'id="winners-table"' in write_page("tuning", tmp_path).read_text()


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
DRAWN = """[...document.querySelectorAll('.plot')].every((div) => div.querySelector('.main-svg') && div._fullData)"""
X_OF = "(id) => Array.from(document.getElementById(id)._fullData[0].x)"
WAIT = """new Promise((resolve) => {
    const look = () => (CONDITION) ? resolve() : requestAnimationFrame(look);
    look();
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real Chromium; skipped where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS.split())
        yield opened
        opened.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_is_drawn_fits_and_obeys_in_a_browser(browser: Any, folder: Path, width: int, theme: str) -> None:
    address = write_page("tuning", folder).as_uri()
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    page.evaluate(WAIT.replace("CONDITION", DRAWN))
    assert page.locator(".plot .main-svg").count() >= 2 * len(FAMILIES) + 1
    before = {name: page.evaluate(X_OF, name) for name in ("winners", "samples-1", "tuned-0")}
    page.get_by_text("dropout", exact=True).first.click()
    page.evaluate(WAIT.replace("CONDITION", "document.getElementById('samples-1')._fullData[0].x.some((x) => x > 0.1)"))
    after = {name: page.evaluate(X_OF, name) for name in before}
    assert after["samples-1"] != before["samples-1"]
    assert after["tuned-0"] == before["tuned-0"]
    page.locator("#winners-table th", has_text="test AUC tuned").get_by_role("button").click()
    shown = page.locator("#winners-table tbody tr td:nth-child(9)").all_text_contents()
    assert len(shown) == len(FAMILIES) * len(CELLS)
    assert [float(each) for each in shown] == sorted(float(each) for each in shown)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert complaints == []
    assert {url for url in requests if not url.startswith("data:")} == {address}
    page.close()
