"""Beyond the grid, pairs and the Pareto front: what is printed and drawn, against rows written by hand."""

import json
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dashboards import forecasts, paired, pareto
from dashboards.outlook import ForecastRow, Forecasts, NeedRow, Outlook, PairedRow, ParetoRow, load_outlook
from dashboards.page import text
from dashboards.results import StudyResults, Trial
from recscale.curves.forecast import Forecast, Gain, Kind
from recscale.curves.words import constant_words
from recscale.errors import DataError
from recscale.records import to_plain

INSIDE = Forecast(4.0, 0.75, 0.74, 0.76, 0.73, 0.77, Kind.INTERPOLATION, 0.0)
OUTSIDE = Forecast(20.0, 0.78123, 0.77, 0.79, 0.76, 0.8, Kind.FORECAST, 1.5)
GAIN = Gain(10.0, 20.0, 0.0012, -0.0003, 0.0027, Kind.FORECAST, 1.5)
ROW = ForecastRow("dnn", "fair", "SE", "test_auc", 2.0, OUTSIDE, GAIN)
NEED = NeedRow(0.001, "dnn <b>SE</b> needs scale 3")
PAIR = PairedRow("dnn", "fair", 4.0, 4, "test_auc", 0.002, 0.001, 0.003, 3, 0.004, 0.02, 0.99)


CURVES = (("SE", "test_auc"), ("ME", "test_auc"))


def study(outlook: Outlook) -> StudyResults:
    """Its grid has dcnv2 first, then dnn."""
    trials = tuple(Trial(name, "finished", name, "fair", "SE", 1.0, 1, 0) for name in ("dcnv2", "dnn"))
    return StudyResults("beyond", trials, None, None, (), outlook=outlook)


def cell(family: str, arm: str, quality: float, cost: float, front: bool, cost_name: str = "seconds") -> ParetoRow:
    return ParetoRow(family, "fair", arm, 2.0, 2, "test_auc", quality, cost_name, cost, front)


def test_forecasts_are_rows_in_the_order_of_the_grid():
    other = replace(ROW, family="dcnv2", forecast=INSIDE)
    log_loss = replace(ROW, metric="test_log_loss")
    body, panels = forecasts.section(study(Outlook(forecasts=Forecasts((ROW, log_loss, other), (NEED,)))))
    assert panels == []
    assert body.count("<tr><td>") == 2
    assert body.index("<td>dcnv2") < body.index("<td>dnn")
    shown = (
        "<td>dnn<td>SE<td>–<td class=n>20<td>forecast<td class=n>1.50<td class=n>0.78123<td>[0.77000, 0.79000]"
        "<td>[0.76000, 0.80000]<td>+0.00120 [-0.00030, +0.00270]"
    )
    assert shown in body.replace("</td>", "")
    assert "<td>interpolation<td class=n>0.00" in body
    assert "<li>dnn &lt;b&gt;SE&lt;/b&gt; needs scale 3</li>" in body


def test_a_constant_law_forecasts_no_gain_and_says_what_that_is_worth(results):
    slope, constant = (next(c for c in results.curves.curves if (c.arm, c.metric) == key) for key in CURVES)
    constant = replace(constant, law="constant")
    known = replace(results, curves=replace(results.curves, curves=(slope, constant)))
    rows = [replace(ROW, family=curve.family, arm=curve.arm) for curve in (slope, constant)]
    body, _ = forecasts.section(replace(known, outlook=Outlook(forecasts=Forecasts((*rows,), ()))))
    of_slope, of_constant = re.findall(r"<tr>(<td>.*?)</tr>", body)
    assert "<td>log_linear" in of_slope
    assert of_slope.endswith("[-0.00030, +0.00270]")
    assert "<td>constant" in of_constant
    assert of_constant.endswith("<td>none, by a constant")
    assert body.count("No gain is forecast where none was found") == 1
    (said,) = re.findall("<li>(.*?)</li>", body)
    assert said == text(f"the law of {constant.family} (fair) ME is {constant_words(constant)}")


def test_without_a_constant_law_nothing_is_said_of_one(results):
    outlook = Outlook(forecasts=Forecasts((replace(ROW, family=results.curves.curves[0].family),), ()))
    body, _ = forecasts.section(replace(results, outlook=outlook))
    assert "constant" not in body


def test_a_pair_is_a_row_with_its_interval_and_three_probabilities():
    lone = replace(PAIR, metric="test_log_loss", low=None, high=None, seeds=1, p_value=None, p_holm=None, p_better=None)
    body, _ = paired.section(study(Outlook(paired=(PAIR, lone))))
    cells = body.replace("</td>", "")
    start = "<td>dnn<td class=n>4<td class=n>4<td>"
    assert (
        f"{start}AUC<td class=n>+0.00200<td>[+0.00100, +0.00300]<td class=n>3<td class=n>0.99<td class=n>0.004"
        "<td class=n>0.02" in cells
    )
    assert f"{start}log loss<td class=n>+0.00200<td>–<td class=n>1<td class=n>–<td class=n>–<td class=n>–" in cells


@pytest.mark.parametrize(
    ("p_values", "values", "said"),
    [
        ((0.02, 0.1), (0.002, -0.001), "better in 1 and worse in 1 of 2 comparisons"),
        ((0.11, 1.0), (0.002, 0.002), "better in 0 and worse in 0 of 2 comparisons"),
        ((0.02, None), (-0.002, 0.5), "better in 0 and worse in 1 of 2 comparisons"),
    ],
)
def test_the_summary_counts_what_is_clear_after_correction(p_values, values, said):
    pairs = [replace(PAIR, p_holm=p, value=v) for p, v in zip(p_values, values, strict=True)]
    other = replace(PAIR, metric="test_log_loss", p_holm=0.001)
    words = paired.summary([*pairs, other])
    assert said in words
    assert ("1 could not be tested" in words) == (None in p_values)


def test_the_front_goes_through_its_cells_by_cost_and_cells_are_by_family_and_arm():
    cells = [
        cell("dnn", "ME", 0.74, 30.0, True),
        cell("dnn", "SE", 0.70, 10.0, True),
        cell("dcnv2", "SE", 0.69, 20.0, False),
        cell("dcnv2", "SE", 0.9, 1e6, True, "flops_per_sample"),
    ]
    _, (panel,) = pareto.section(study(Outlook(pareto=tuple(cells))))
    by_cost = dict(zip(panel.controls[0].options, panel.figures, strict=True))
    front, *families = by_cost["seconds"].data
    assert (list(front.x), list(front.y), front.line.shape) == ([10, 30], [0.70, 0.74], "hv")
    assert {trace.name: (list(trace.x), list(trace.y)) for trace in families} == {
        "dcnv2 SE": ([20], [0.69]),
        "dnn ME": ([30], [0.74]),
        "dnn SE": ([10], [0.70]),
    }
    assert {trace.name: "on the front" in trace.text[0] for trace in families} == {
        "dcnv2 SE": False,
        "dnn ME": True,
        "dnn SE": True,
    }
    assert list(by_cost["FLOPs per sample"].data[0].y) == [0.9]
    assert "No finished cell" in by_cost["memory"].layout.annotations[0].text


def test_a_family_looks_the_same_in_every_figure_of_cost():
    """The first family of the grid has the first colour, whatever the file's order."""
    cells = (cell("dnn", "SE", 0.7, 10.0, True), cell("dcnv2", "SE", 0.69, 20.0, False))
    _, (panel,) = pareto.section(study(Outlook(pareto=cells)))
    _, first, second = panel.figures[1].data
    assert (first.name, second.name) == ("dcnv2 SE", "dnn SE")
    assert (first.marker.color, first.marker.symbol) != (second.marker.color, second.marker.symbol)


@pytest.mark.parametrize("section", [forecasts.section, paired.section, pareto.section])
def test_what_has_not_been_written_is_said(section):
    body, panels = section(study(Outlook()))
    assert "has not been written" in body
    assert panels == []


def test_nothing_to_tell_is_a_sentence():
    empty = study(Outlook(forecasts=Forecasts((), ()), paired=()))
    assert "nothing can be forecast" in forecasts.section(empty)[0]
    assert "No scale has finished trials of both arms" in paired.section(empty)[0]


def test_files_are_read_as_they_were_written(tmp_path):
    """Columns that a page does not show are left alone; NaN is None."""
    assert load_outlook(tmp_path) == Outlook()
    (tmp_path / "forecasts.json").write_text(json.dumps(to_plain({"forecasts": [ROW], "needs": [NEED]})))
    front = cell("dnn", "SE", 0.7, 10.0, True)
    pq.write_table(pa.Table.from_pylist([to_plain(front) | {"seeds": 3}]), tmp_path / "pareto.parquet")
    pq.write_table(pa.Table.from_pylist([to_plain(PAIR) | {"p_holm": np.nan}]), tmp_path / "paired.parquet")
    found = load_outlook(tmp_path)
    assert found == Outlook(Forecasts((ROW,), (NEED,)), (front,), (replace(PAIR, p_holm=None),))


@pytest.mark.parametrize(
    ("name", "content"), [("forecasts.json", b"[1"), ("pareto.parquet", b"PAR1"), ("paired.parquet", b"")]
)
def test_a_broken_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        load_outlook(tmp_path)


def test_a_file_without_a_column_is_named(tmp_path):
    pq.write_table(pa.table({"family": ["dnn"]}), tmp_path / "paired.parquet")
    with pytest.raises(DataError, match=r"paired\.parquet"):
        load_outlook(tmp_path)
