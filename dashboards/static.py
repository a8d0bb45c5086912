"""Static pictures of a page's figures, for papers: one file per figure and choice of its controls."""

import re
from collections.abc import Sequence
from copy import deepcopy
from enum import StrEnum
from itertools import product
from pathlib import Path

import plotly.graph_objects as go
import plotly.io

from dashboards.page import Panel
from dashboards.style import figure_template
from recscale.errors import ConfigError, DataError

WIDTH, HEIGHT = 720, 460
"""Size of a picture in CSS pixels; a raster picture has RASTER_SCALE times as many."""
RASTER_SCALE = 2


class Format(StrEnum):
    """File format of a picture."""

    SVG = "svg"
    PDF = "pdf"
    PNG = "png"


def write_pictures(panels: Sequence[Panel], folder: Path, file_format: Format) -> list[Path]:
    """Writes every figure that a reader of the page can choose; their paths.

    ConfigError where no Chromium or Chrome is installed to draw them, DataError where the folder cannot be written.
    """
    named = [(folder / f"{name}.{file_format}", drawn) for panel in panels for name, drawn in pictures(panel)]
    paths, figures = [path for path, _ in named], [drawn for _, drawn in named]
    scale = RASTER_SCALE if file_format is Format.PNG else 1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        plotly.io.write_images(
            figures, paths, format=file_format.value, width=WIDTH, height=HEIGHT, scale=scale, validate=False
        )
    except OSError as error:
        raise DataError(f"cannot write pictures into {folder}: {error}; choose another --figures folder") from error
    except RuntimeError as error:
        raise ConfigError(
            "pictures are drawn by Chromium, and none was found; install one (Debian: apt-get install chromium) or "
            "name it by the environment variable BROWSER_PATH"
        ) from error
    return paths


def pictures(panel: Panel) -> list[tuple[str, go.Figure]]:
    """File name (without its ending) and figure of every choice, with the panel's title and the choice above it."""
    choices = product(*(control.options for control in panel.controls))
    return [
        ("-".join([panel.name, *map(_slug, choice)]), _titled(drawn, panel.title, choice))
        for choice, drawn in zip(choices, panel.figures, strict=True)
    ]


def _titled(drawn: go.Figure, title: str, choice: Sequence[str]) -> go.Figure:
    """The figure in ink on white, under its title."""
    whole = go.Figure(deepcopy(drawn))
    words = title if not choice else f"{title}<br><sup>{' · '.join(choice)}</sup>"
    whole.update_layout(template=figure_template(), title={"text": words, "x": 0.02, "font": {"size": 15}}, margin_t=90)
    return whole


def _slug(option: str) -> str:
    """An option as part of a file name."""
    return re.sub(r"[^a-z0-9.]+", "-", option.lower()).strip("-")
