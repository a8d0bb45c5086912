"""The scaling report: one self-contained HTML page for one study."""

from dashboards import budget, ensembles, forecasts, paired, pareto, prediction, privacy
from dashboards.collapse_figures import (
    WEIGHTING_CONTROL,
    abundance_panels,
    diversity_panel,
    fields_panel,
    spectra_panels,
)
from dashboards.figures import AXIS_CONTROL, COST_CONTROL, METRIC_CONTROL, cost_panel, scaling_panels
from dashboards.law_tables import laws_html
from dashboards.page import Page, Panel, controls_html, panels_html, section_html
from dashboards.results import StudyResults
from dashboards.sections import NOTHING_FINISHED, cards_html, closing_sections, header_html
from dashboards.tables import models
from recscale.curves.verdict import Verdict

HOW_TO_READ = {
    "verdict": "Each sentence compares the multi-embedding arm (ME) with the single-embedding arm (SE) of one family.",
    "scaling": "Look whether ME (dashed, diamonds) pulls away from SE (solid, circles) as the model grows, and whether "
    "the gap is wider than the error bars. Points are means over seeds, bars one standard deviation, faint dots single "
    "seeds. Laws are fitted against scale only, with their 90 % interval; on other axes lines only join the points. "
    "Green squares (dotted) average predictions of M separate base models. Open grey markers are published results.",
    "abundance": "Falling IA / K means that a larger table leaves more of its dimensions unused (collapse). Compare ME "
    "concatenated with SE: both have the same M·K columns. Counting ids by frequency tells collapse from rows that "
    "were hardly ever trained.",
    "diversity": "0 means that all sets span the same subspace, so a further set adds nothing; higher is better.",
    "spectra": "A line that drops early is a collapsed field: few directions carry everything. Compare with the dashed "
    "grey line, the median field before training. Lines end where the table's rank ends.",
    "fields": "Filled markers are the trained tables, open ones the tables before training: a filled marker below its "
    "open one has lost dimensions. Fields with fewer ids than K cannot reach 1. Family and scale are chosen above the "
    "spectra, the counting of ids at the top of this section.",
    "cost": "Up and to the left is better: look for a family that lies above all others at the same cost. Filled "
    "markers are SE, open ones ME.",
}


def report_page(results: StudyResults) -> Page:
    """The whole page."""
    sections, panels = [header_html(results), section_html("Verdict", _verdicts(results))], []
    if results.finished:
        for body, drawn in (
            _scaling(results),
            forecasts.section(results),
            paired.section(results),
            budget.section(results),
            ensembles.section(results),
            _collapse(results),
            prediction.section(results),
            _cost(results),
            pareto.section(results),
            privacy.section(results),
        ):
            sections.append(body)
            panels += drawn
    else:
        sections.append(NOTHING_FINISHED)
    return Page(f"{results.name} · scaling report", sections + closing_sections(results), panels)


def _verdicts(results: StudyResults) -> str:
    """One card per family."""
    if results.curves is None:
        return "<p>curves.json has not been written, so there are no fits and no verdicts.</p>"
    if not results.curves.verdicts:
        return "<p>There are too few finished trials for a verdict.</p>"
    order = [model.family for model in models(results)]
    ordered = sorted(results.curves.verdicts, key=lambda each: _place(order, each.family))
    return cards_html(((each.family, _sentence(each)) for each in ordered), HOW_TO_READ["verdict"])


def _place(order: list[str], label: str) -> int:
    """Where a family stands among the figures; its label may go on with settings."""
    family = label.split(" ")[0]
    return order.index(family) if family in order else len(order)


def _sentence(verdict: Verdict) -> str:
    """The verdict without the family's name in front, which is the card's heading."""
    return verdict.sentence.removeprefix(f"{verdict.family}: ")


def _scaling(results: StudyResults) -> tuple[str, list[Panel]]:
    """Quality against size."""
    panels = scaling_panels(results)
    body = controls_html((AXIS_CONTROL, METRIC_CONTROL)) + panels_html(panels, HOW_TO_READ["scaling"])
    if results.curves is None:
        body += "<p>curves.json has not been written, so no law is drawn.</p>"
    else:
        body += laws_html(results)
    return section_html("Scaling curves", body), panels


def _collapse(results: StudyResults) -> tuple[str, list[Panel]]:
    """Abundance, diversity and spectra."""
    abundance, diversity = abundance_panels(results), [diversity_panel(results)]
    body = controls_html((WEIGHTING_CONTROL,)) + panels_html(abundance, HOW_TO_READ["abundance"])
    body += panels_html(diversity, HOW_TO_READ["diversity"])
    if not results.spectra:
        body += "<p>spectra.parquet has not been written, so there are no spectra and no abundance per field.</p>"
        return section_html("Collapse", body), [*abundance, *diversity]
    spectra = spectra_panels(results)
    fields = fields_panel(results)
    body += controls_html(spectra[0].controls) + panels_html(spectra, HOW_TO_READ["spectra"])
    body += panels_html([fields], HOW_TO_READ["fields"])
    return section_html("Collapse", body), [*abundance, *diversity, *spectra, fields]


def _cost(results: StudyResults) -> tuple[str, list[Panel]]:
    """Quality against cost."""
    panel = cost_panel(results)
    body = controls_html((COST_CONTROL,)) + panels_html([panel], HOW_TO_READ["cost"])
    return section_html("Cost against quality", body), [panel]
