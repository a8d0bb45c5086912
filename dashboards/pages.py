"""Which page answers which recipe's question."""

from collections.abc import Callable
from pathlib import Path

from dashboards import scaling, tuning

PAGES: dict[str, Callable[[Path], Path]] = {
    "scaling": scaling.write_study_report,
    "tuning": tuning.write_study_report,
}
"""By recipe: reads a study's folder, writes its page, returns the page's path."""


def write_page(recipe: str, study_folder: Path) -> Path:
    """The page of a study; the scaling page, which any grid has, where the recipe is not one of ours."""
    return PAGES.get(recipe, scaling.write_study_report)(study_folder)
