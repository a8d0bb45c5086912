"""The ablation report: what of multi-embedding matters, as one self-contained HTML page."""

from dashboards.ablation_figures import REFERENCE_CONTROL, ablation_panels, comparison_title, scale_control
from dashboards.ablation_tables import Comparison, VariantRow, comparisons, verdict_words
from dashboards.page import Page, Panel, controls_html, number, panels_html, section_html, text
from dashboards.results import StudyResults
from dashboards.sections import NOTHING_FINISHED, closing_sections, header_html
from recscale.curves.differences import Difference

HOW_TO_READ = {
    "verdict": "Each line compares the test AUC of one variant with that of plain multi-embedding (ME), or with "
    "single-embedding (SE) where SE was changed, at the same scale and by 90 % intervals over seeds. One comparison in "
    "ten looks clear by chance alone: a difference that matters also shows at another scale, or with more seeds.",
    "variants": "One interaction: all sets share the interaction's parameters. One set of tables: all interactions "
    "read the same table of the whole budget. Mean of logits: every set is scored by itself. Concatenation: the head "
    "reads the sets side by side. Patterns aligned: a penalty makes the sets weigh pairs of fields alike. Subspaces "
    "apart: a penalty makes their embeddings span unlike subspaces. Spectrum flattened: a penalty makes singular "
    "values alike. A variant that a family does not admit has no row.",
    "figures": "Test AUC: a bar that does not touch the dashed line is a difference beyond seed noise. If taking a "
    "part away from ME costs nothing, that part is not what helps. Collapse: IA / K is low where tables have "
    "collapsed, set diversity near 0 where the sets are copies of each other; look whether the variants that lose "
    "quality are those that lose abundance or diversity.",
}
COLUMNS = ("minus ME", "minus SE", "test AUC", "seeds", "sets", "IA / K", "IA / (M·K)", "set diversity")


def report_page(results: StudyResults) -> Page:
    """The whole page."""
    found = comparisons(results)
    sections: list[str] = [header_html(results)]
    panels: list[Panel] = []
    if found:
        body, panels = _variants(found)
        sections += [section_html("Verdict", _verdicts(found)), section_html("Variants", body)]
    else:
        sections.append(NOTHING_FINISHED)
    sections += closing_sections(results)
    return Page(f"{results.name} · ablation report", sections, panels)


def _verdicts(found: list[Comparison]) -> str:
    """A card per family and scale."""
    cards = "".join(f'<div class="card"><h3>{text(_title(each))}</h3>{_verdict(each)}</div>' for each in found)
    return f'<div class="cards">{cards}</div><p class="how">{text(HOW_TO_READ["verdict"])}</p>'


def _verdict(comparison: Comparison) -> str:
    """How many differences are clear, and a line per variant; SE is what the others are held against."""
    rows = [row for row in comparison.rows if row.name != "SE"]
    clear = sum(row.is_clear for row in rows)
    lines = "".join(f"<li><b>{text(row.name)}</b>: {text(verdict_words(row))}</li>" for row in rows)
    return f"<p>{clear} of {len(rows)} differences are beyond seed noise.</p><ul>{lines}</ul>"


def _variants(found: list[Comparison]) -> tuple[str, list[Panel]]:
    """Figures, then the numbers behind them."""
    panels = ablation_panels(found)
    body = f'<p class="how">{text(HOW_TO_READ["variants"])}</p>'
    body += controls_html((scale_control(found), REFERENCE_CONTROL)) + panels_html(panels, HOW_TO_READ["figures"])
    return body + "".join(map(table_html, found)), panels


def table_html(comparison: Comparison) -> str:
    """The variants of one family and scale in numbers."""
    head = "<th>variant</th>" + "".join(f'<th data-kind="number">{text(column)}</th>' for column in COLUMNS)
    rows = "".join(_table_row(row) for row in comparison.rows)
    return (
        f'<h3>{text(_title(comparison))}</h3><div class="scroll" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _table_row(row: VariantRow) -> str:
    auc = f"{row.auc:.5f}" + ("" if row.std is None else f" ± {row.std:.5f}")
    shares = (number(value, 3) for value in (row.ia_ratio, row.ia_concat_ratio, row.set_diversity))
    cells = (_signed(row.to_multi), _signed(row.to_single), auc, len(row.trial_ids), row.num_sets, *shares)
    return f"<tr><td>{text(row.name)}</td>" + "".join(f'<td class="n">{text(cell)}</td>' for cell in cells) + "</tr>"


def _signed(change: Difference | None) -> str:
    """A difference with its interval; a dash where there is none."""
    if change is None:
        return "–"
    interval = "" if change.low is None else f" [{change.low:+.5f}, {change.high:+.5f}]"
    return f"{change.value:+.5f}{interval}"


def _title(comparison: Comparison) -> str:
    return f"{comparison_title(comparison)}, scale {comparison.scale:g}×"
