"""Whatever a user calls a family, the page stays text."""

import base64
import json
import zlib

import plotly.graph_objects as go
import pytest

from dashboards.page import (
    Control,
    ControlKind,
    Page,
    Panel,
    controls_html,
    number,
    packed_json,
    page_html,
    panel_data,
    text,
)
from dashboards.style import faded, log_ticks, si, size_axis

HOSTILE = "</script><script>alert(1)</script>\"'&"


def test_packed_json_has_no_markup_and_loses_nothing():
    packed = packed_json({"name": HOSTILE})
    assert set("<>&\"'").isdisjoint(packed)
    assert json.loads(zlib.decompress(base64.b64decode(packed))) == {"name": HOSTILE}


def test_text_is_safe_in_elements_and_attributes():
    assert set("<>\"'").isdisjoint(text(HOSTILE))


@pytest.mark.parametrize("kind", list(ControlKind))
def test_options_are_escaped_and_known_by_position(kind):
    drawn = controls_html((Control("choice", "Family", kind, (HOSTILE, "other")),))
    assert "<script>" not in drawn
    assert 'value="0"' in drawn
    assert 'value="1"' in drawn


def test_a_figure_for_every_combination_of_options():
    controls = (Control("a", "A", ControlKind.BUTTONS, ("x", "y")), Control("b", "B", ControlKind.DROPDOWN, ("u", "v")))
    figures = tuple(go.Figure(go.Scatter(x=[i], y=[i])) for i in range(4))
    variants = panel_data(Panel("p", "P", controls, figures))["variants"]
    assert {key: drawn["data"][0]["x"] for key, drawn in variants.items()} == {
        "0|0": [0],
        "0|1": [1],
        "1|0": [2],
        "1|1": [3],
    }
    with pytest.raises(ValueError, match="zip"):
        panel_data(Panel("p", "P", controls, figures[:3]))


def test_a_page_without_figures_does_not_carry_plotly():
    assert len(page_html(Page("t", ["<p>nothing</p>"], []))) < 20_000


def test_numbers_for_reading():
    assert [number(None), number(1234567), number(0.7912345), number(2.5e-7, 3)] == [
        "–",
        "1,234,567",
        "0.791234",
        "2.5e-07",
    ]


def test_ticks_cover_what_is_drawn():
    assert log_ticks(45, 310) == [50, 100, 200, 500]
    assert log_ticks(3e5, 3e9) == [1e6, 1e7, 1e8, 1e9]
    assert [si(value) for value in (0.5, 950, 1500, 2e6, 3e9)] == ["0.5", "950", "1.5k", "2M", "3G"]
    assert size_axis("x", [100, 120]).get("type") is None
    assert size_axis("x", [100, 400])["type"] == "log"
    assert faded("#0072B2", 0.4) == "rgba(0,114,178,0.4)"
