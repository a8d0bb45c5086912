"""What a reader may expect of any figure on any page: a question, named axes, labels that name trials, its numbers."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dashboards import ablations, axis, collapse, scaling, tuning
from dashboards.compare import comparison_page
from dashboards.page import Page, Panel, page_html
from dashboards.pages import PAGES

MAKERS: dict[str, Callable[[Callable[[str], Any]], Page]] = {
    "scaling": lambda study: scaling.report_page(study("results")),
    "collapse": lambda study: collapse.report_page(study("collapse")),
    "ablations": lambda study: ablations.report_page(study("ablation_results")),
    "tuning": lambda study: tuning.report_page(study("tuning")),
    "data_amount": lambda study: axis.report_page(axis.DATA_AMOUNT, study("axis_results")),
    "depth": lambda study: axis.report_page(axis.DEPTH, study("depth_results")),
    "decay": lambda study: axis.report_page(axis.DECAY, study("decay_results")),
    "compare": lambda study: comparison_page([study("results"), study("other_study")]),
}
"""Every page with figures, from the fixture that holds its study."""
NAMELESS = {"toy", "toy-alpha", "toy-spectrum", "toy-product", "toy-energy"}
"""Figures of runs that are no trials and have no id; their labels say the seeds."""


@pytest.fixture(scope="module", params=list(MAKERS))
def page(request: pytest.FixtureRequest) -> Page:
    return MAKERS[request.param](request.getfixturevalue)


def figures(page: Page) -> Iterator[tuple[Panel, Any]]:
    """Every figure that draws something, with its panel."""
    return ((panel, drawn) for panel in page.panels for drawn in panel.figures if drawn.data)


def label(trace: Any) -> str:
    """Everything that hovering over a trace may say."""
    parts: list[str] = [trace.hovertemplate or ""]
    for texts in (trace.text, trace.customdata):
        parts += [texts] if isinstance(texts, str) else map(str, () if texts is None else texts)
    return " ".join(parts)


def test_every_recipe_has_its_page_here() -> None:
    assert set(MAKERS) == {*PAGES, "compare"}


def test_every_figures_title_asks_what_to_look_for(page: Page) -> None:
    assert page.panels
    for panel in page.panels:
        question = panel.title.split(": ")[-1]
        assert question.endswith("?"), panel.title
        assert len(question.split()) >= 3, panel.title


def test_no_two_figures_of_a_page_ask_the_same(page: Page) -> None:
    titles = [panel.title for panel in page.panels]
    assert len(set(titles)) == len(titles)


def test_every_figure_has_titled_axes(page: Page) -> None:
    drawn = list(figures(page))
    assert {panel.name for panel, _ in drawn} == {panel.name for panel in page.panels}
    for panel, figure in drawn:
        assert figure.layout.xaxis.title.text, panel.name
        assert figure.layout.yaxis.title.text, panel.name


def test_every_figures_numbers_can_be_downloaded(page: Page) -> None:
    shown = page_html(page)
    assert re.findall(r'<button class="csv" data-panel="([^"]+)"', shown) == [panel.name for panel in page.panels]


def test_every_label_names_its_trials_or_what_was_fitted_to_them(page: Page) -> None:
    for panel, figure in figures(page):
        for trace in figure.data:
            named = re.search(r"trials? |\d seeds?|seed \d|sample \d", label(trace))
            fitted = panel.name.startswith("scaling") and trace.mode == "lines"
            assert named or fitted or trace.hoverinfo == "skip" or panel.name in NAMELESS, (panel.name, trace.name)


def test_a_text_of_a_whole_trace_is_written_into_its_label(page: Page) -> None:
    """plotly.js shows a dash for %{text} where the text is not one per point."""
    for panel, figure in figures(page):
        for trace in figure.data:
            if isinstance(trace.text, str) and trace.hoverinfo != "skip":
                assert trace.text in trace.hovertemplate, (panel.name, trace.name)
                assert "%{text}" not in trace.hovertemplate, (panel.name, trace.name)


def test_series_are_told_apart_without_their_colour(page: Page) -> None:
    """Named series of one figure differ in marker or dash, not in colour alone."""
    for panel, figure in figures(page):
        if panel.name.startswith("samples"):  # a colour per cell, markers tell how a sample ended
            continue
        shown = [trace for trace in figure.data if trace.type == "scatter" and trace.showlegend is not False]
        looks = [(trace.mode, trace.line.dash, str(trace.marker.symbol)) for trace in shown]
        assert len(set(looks)) == len(looks), (panel.name, looks)
