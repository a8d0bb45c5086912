"""Which page answers which recipe's question, and where it is written."""

from collections.abc import Callable

from dashboards import ablations, axis, collapse, scaling, tuning
from dashboards.collapse_results import load_collapse
from dashboards.page import Page, page_html, write_page_file
from dashboards.results import load_results
from dashboards.tuning_tables import load_tuning
from recscale.storage.location import Location

REPORT_FILE = "report.html"
PAGES: dict[str, Callable[[Location], Page]] = {
    "scaling": lambda folder: scaling.report_page(load_results(folder)),
    "collapse": lambda folder: collapse.report_page(load_collapse(folder)),
    "ablations": lambda folder: ablations.report_page(load_results(folder)),
    "tuning": lambda folder: tuning.report_page(load_tuning(folder)),
    "data_amount": lambda folder: axis.report_page(axis.DATA_AMOUNT, load_results(folder)),
    "depth": lambda folder: axis.report_page(axis.DEPTH, load_results(folder)),
    "decay": lambda folder: axis.report_page(axis.DECAY, load_results(folder)),
}
"""By recipe: reads a study's folder."""


def study_page(recipe: str, study_folder: Location) -> Page:
    """The page of a study; the scaling page, which any grid has, where the recipe is not one of ours."""
    return PAGES.get(recipe, PAGES["scaling"])(study_folder)


def write_page(recipe: str, study_folder: Location) -> Location:
    """Reads a study's tables and writes report.html beside them; its path."""
    return write_page_file(study_folder / REPORT_FILE, page_html(study_page(recipe, study_folder)))
