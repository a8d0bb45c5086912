"""Which page answers which recipe's question."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from dashboards import ablations, axis, collapse, scaling, tuning

PAGES: dict[str, Callable[[Path], Path]] = {
    "scaling": scaling.write_study_report,
    "collapse": collapse.write_collapse_report,
    "ablations": ablations.write_ablation_report,
    "tuning": tuning.write_study_report,
    "data_amount": partial(axis.write_study_report, axis.DATA_AMOUNT),
    "depth": partial(axis.write_study_report, axis.DEPTH),
    "decay": partial(axis.write_study_report, axis.DECAY),
}
"""By recipe: reads a study's folder, writes its page, returns the page's path."""


def write_page(recipe: str, study_folder: Path) -> Path:
    """The page of a study; the scaling page, which any grid has, where the recipe is not one of ours."""
    return PAGES.get(recipe, scaling.write_study_report)(study_folder)
