"""Pictures of figures in files, drawn by a real Chromium."""

import shutil
import struct

import pytest

from dashboards.collapse_figures import diversity_panel
from dashboards.figures import cost_panel
from dashboards.static import HEIGHT, RASTER_SCALE, WIDTH, Format, pictures, write_pictures
from recscale.errors import ConfigError, DataError

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


def test_every_choice_is_a_picture_under_its_own_name_and_title(results):
    found = dict(pictures(cost_panel(results)))
    assert list(found) == ["cost-seconds", "cost-flops-per-sample"]
    assert (
        found["cost-seconds"].layout.title.text
        == "Test AUC against cost: which family lies above the others?<br><sup>seconds</sup>"
    )
    assert found["cost-seconds"].layout.template.layout.paper_bgcolor == "#ffffff"


def test_the_pages_own_figures_stay_as_they_are(results):
    panel = diversity_panel(results)
    pictures(panel)
    assert panel.figures[0].layout.title.text is None


@needs_chromium
@pytest.mark.parametrize("file_format", Format)
def test_pictures_are_files_of_the_format(results, tmp_path, file_format):
    (path,) = write_pictures([diversity_panel(results)], tmp_path / "new" / "folder", file_format)
    content = path.read_bytes()
    assert path.name == f"diversity.{file_format}"
    assert content.startswith({"svg": b"<svg", "pdf": b"%PDF", "png": b"\x89PNG"}[file_format])
    if file_format is Format.PNG:
        assert struct.unpack(">II", content[16:24]) == (WIDTH * RASTER_SCALE, HEIGHT * RASTER_SCALE)
    if file_format is Format.SVG:
        assert b"Set diversity" in content


def test_without_a_chromium_the_error_says_what_to_install(results, tmp_path, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "no-browser"))
    with pytest.raises(ConfigError, match="none was found; install one"):
        write_pictures([diversity_panel(results)], tmp_path, Format.SVG)


def test_a_folder_that_cannot_be_written_is_named(results, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write pictures into .*file"):
        write_pictures([diversity_panel(results)], tmp_path / "file", Format.SVG)
