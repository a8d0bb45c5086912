"""The HTML shell of a page: escaping, controls, figures, and one file that loads nothing from anywhere."""

import base64
import html
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from recscale.storage.location import Location, write_atomic

ASSETS = Path(__file__).parent
CONTENT_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""The browser itself refuses every network request of the page."""


class ControlKind(StrEnum):
    """How a reader chooses."""

    BUTTONS = "buttons"
    DROPDOWN = "dropdown"


@dataclass(frozen=True)
class Control:
    """One choice that decides which variant of a figure is drawn."""

    name: str
    """Identity within the page, of letters and dashes."""
    label: str
    """What the reader reads before the options."""
    kind: ControlKind
    """buttons | dropdown."""
    options: tuple[str, ...]
    """What the reader reads on the options; a choice is known by its position."""


@dataclass(frozen=True)
class Panel:
    """One place for a figure, with a figure for every combination of its controls' options."""

    name: str
    """Identity within the page, of letters, digits and dashes."""
    title: str
    """Above the figure."""
    controls: tuple[Control, ...]
    """What it listens to."""
    figures: tuple[go.Figure, ...]
    """In the order of itertools.product over the controls' options; one figure where there is no control."""


@dataclass(frozen=True)
class Page:
    """A whole page before it becomes HTML."""

    title: str
    """What the browser's tab says."""
    sections: Sequence[str]
    """HTML, from top to bottom."""
    panels: Sequence[Panel]
    """Every figure of the sections."""


def text(value: object) -> str:
    """Any value as HTML text, also within attributes."""
    return html.escape(str(value), quote=True)


def plot_text(value: object) -> str:
    """Any value as text inside a figure, where plotly.js reads a subset of HTML."""
    return html.escape(str(value), quote=False)


def number(value: float | None, digits: int = 6) -> str:
    """A number for reading; a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}"


def packed_json(value: Any) -> str:
    """JSON, compressed by zlib and in base64: a sixth of the size, and no string inside can end a script element."""
    plain = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(plain.encode(), level=9)).decode()


def controls_html(controls: tuple[Control, ...]) -> str:
    """The controls of a section, side by side."""
    return f'<div class="controls">{"".join(_control(control) for control in controls)}</div>'


def _control(control: Control) -> str:
    """Radio buttons or a select, with the first option chosen."""
    if control.kind is ControlKind.DROPDOWN:
        options = "".join(f'<option value="{i}">{text(option)}</option>' for i, option in enumerate(control.options))
        return f'<label>{text(control.label)} <select data-control="{control.name}">{options}</select></label>'
    radios = "".join(
        f'<label><input type="radio" name="{control.name}" data-control="{control.name}" value="{i}"'
        f"{' checked' if i == 0 else ''}><span>{text(option)}</span></label>"
        for i, option in enumerate(control.options)
    )
    return f'<fieldset class="buttons"><legend>{text(control.label)}</legend>{radios}</fieldset>'


def panels_html(panels: list[Panel], how_to_read: str) -> str:
    """Panels, and one line on what to look for."""
    return grid_html(panels) + how_html(how_to_read)


def grid_html(panels: list[Panel]) -> str:
    """Panels in a grid that folds to one column on a narrow screen."""
    cells = "".join(
        f'<figure><h3>{text(panel.title)}</h3><div class="plot" id="{panel.name}" role="img" '
        f'aria-label="{text(panel.title)}"></div>'
        f'<button class="csv" data-panel="{panel.name}" aria-label="Download the numbers of {text(panel.title)}">'
        f"Table (CSV)</button></figure>"
        for panel in panels
    )
    return f'<div class="panels">{cells}</div>'


def how_html(how_to_read: str) -> str:
    """One line on what to look for."""
    return f'<p class="how"><b>How to read this.</b> {text(how_to_read)}</p>'


def section_html(title: str, body: str) -> str:
    """A titled section."""
    return f"<section><h2>{text(title)}</h2>{body}</section>"


def panel_data(panel: Panel) -> dict[str, Any]:
    """What the page's script needs to draw a panel: traces and layout by the positions of the chosen options."""
    positions = product(*(range(len(control.options)) for control in panel.controls))
    keys = ("|".join(map(str, position)) for position in positions)
    drawn = {key: json.loads(figure.to_json()) for key, figure in zip(keys, panel.figures, strict=True)}
    return {"id": panel.name, "controls": [control.name for control in panel.controls], "variants": drawn}


def write_page_file(path: Location, page: str) -> Location:
    """Writes a page: a reader sees the old one or the new one; its path."""
    write_atomic(path, page.encode())
    return path


def page_html(page: Page) -> str:
    """The whole page; plotly.js is part of it only where there is something to draw."""
    style, script = ((ASSETS / name).read_text() for name in ("page.css", "page.js"))
    plotly = f"<script>{get_plotlyjs()}</script>" if page.panels else ""
    data = packed_json([panel_data(panel) for panel in page.panels])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{text(page.title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{text(CONTENT_POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        f'content="light dark"><link rel="icon" href="data:,"><style>{style}</style></head>'
        f"<body><main><noscript>Figures and sorting need JavaScript.</noscript>{''.join(page.sections)}</main>"
        f'<script type="application/octet-stream" id="panels">{data}</script>'
        f"{plotly}<script>{script}</script></body></html>\n"
    )
