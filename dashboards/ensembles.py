"""Is it only ensembling? Ensembles of separate base models beside multi- and single-embedding of the same budget."""

from dashboards.figures import model_title
from dashboards.page import Panel, section_html, text
from dashboards.results import StudyResults
from dashboards.tables import Metric, Model, grouped, place_of
from recscale.curves.ensembles import EnsembleCell, Grouping, ensemble_sentence
from recscale.curves.verdict import Better

TITLE = "Is it only ensembling?"
OPENING = (
    "M embedding sets resemble M separate small models whose predictions are averaged. This control averages the test "
    "logits of M base models (single-embedding at scale 1) that differ in their seed only; nothing is trained for it. "
    "Where multi-embedding is no better than that, its gain may be that of any ensemble."
)
HOW_TO_READ = (
    "Differences are test AUC minus the ensembles' mean, so below 0 the ensemble is better; 90 % intervals over seeds "
    "where there are base models for two separate groups. The scaling curves above show the ensembles as a third line."
)


def section(results: StudyResults) -> tuple[str, list[Panel]]:
    """The section; its figure is the third line of the scaling curves."""
    cells = results.evidence.ensembles
    if cells is None:
        lacking = "<p>ensembles.parquet has not been written; `recscale report` writes it.</p>"
        return section_html(TITLE, lacking), []
    of_auc = [cell for cell in cells if cell.metric == Metric.AUC.value]
    shown = sorted(of_auc, key=lambda cell: (place_of(results, cell.family, cell.variant), cell.family, cell.members))
    if not shown:
        lacking = "<p>There is no ensemble: it takes base models at scale 1, and a larger whole scale to compare.</p>"
        return section_html(TITLE, lacking), []
    how = f'<p class="how"><b>How to read this.</b> {text(HOW_TO_READ)}</p>'
    return section_html(TITLE, f"<p>{text(OPENING)}</p>{_sentences(shown)}{_table(shown)}{how}"), []


def _sentences(cells: list[EnsembleCell]) -> str:
    """What each family says."""
    groups = grouped((Model(cell.family, cell.variant), cell) for cell in cells)
    lines = "".join(
        f"<li>{text(ensemble_sentence(model_title(model), group, 'test AUC', Better.HIGHER))}</li>"
        for model, group in groups.items()
    )
    return f"<ul>{lines}</ul>"


def _table(cells: list[EnsembleCell]) -> str:
    """One line per family and number of members."""
    titles = (
        "family",
        "M",
        "ensemble of M",
        "ME, M sets",
        "ME − ensemble",
        "SE, scale M",
        "SE − ensemble",
        "ensembles",
        "note",
    )
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    rows = "".join(f"<tr>{_row(cell)}</tr>" for cell in cells)
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _row(cell: EnsembleCell) -> str:
    """The cells of one line."""
    numbers = (
        str(cell.members),
        mean_text(cell.mean, cell.std),
        mean_text(cell.multi, None),
        gap_text(cell.multi_value, cell.multi_low, cell.multi_high),
        mean_text(cell.single, None),
        gap_text(cell.single_value, cell.single_low, cell.single_high),
        _groups(cell),
    )
    shown = "".join(f'<td class="n">{text(number)}</td>' for number in numbers)
    return (
        f'<td>{text(model_title(Model(cell.family, cell.variant)))}</td>{shown}<td class="wide">{text(cell.note)}</td>'
    )


def _groups(cell: EnsembleCell) -> str:
    """How many ensembles were scored, and from how many models."""
    shared = "overlapping " if cell.groups > 1 and cell.grouping == Grouping.OVERLAPPING else ""
    return f"{cell.groups} {shared}from {cell.seeds} models"


def mean_text(mean: float | None, std: float | None) -> str:
    """A mean with its spread where it has one."""
    if mean is None:
        return "–"
    return f"{mean:.5f}" if std is None else f"{mean:.5f} ± {std:.2g}"


def gap_text(value: float | None, low: float | None, high: float | None) -> str:
    """A difference with its interval where it has one."""
    if value is None:
        return "–"
    return f"{value:+.4f}" if low is None or high is None else f"{value:+.4f} [{low:+.4f}, {high:+.4f}]"
