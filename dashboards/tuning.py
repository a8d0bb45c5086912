"""The tuning report: does single-embedding's fall survive settings that fit the scale? One self-contained page."""

from dashboards.figures import METRIC_CONTROL, model_title
from dashboards.law_tables import laws_html
from dashboards.page import Page, Panel, controls_html, number, panels_html, section_html, text
from dashboards.sections import cards_html, closing_sections, header_html
from dashboards.tuning_figures import SETTING_CONTROL, curve_panels, sample_panels, winners_panel
from dashboards.tuning_tables import TestAuc, TuningResults, WinnerRow, survival_sentences, winner_rows

HOW_TO_READ = {
    "verdict": "Untuned is one setting for all scales, as papers train; tuned is the best of the samples tried in each "
    "cell, chosen by valid AUC. Both are trained over the same seeds, none of which the search saw.",
    "curves": "Look whether the solid line (tuned) still falls where the dotted one (untuned) falls. Bars are one "
    "standard deviation over seeds; a gap narrower than the bars is no gap. ME starts at the common base where its "
    "sets follow the scale.",
    "winners": "A learning rate that drifts with scale says that one setting cannot fit all scales. Where neighbours "
    "jump about, the valid AUC hardly depends on the setting: look at the samples below.",
    "samples": "Stars are the winners, open circles were stopped early. A flat top means that tuning has little to "
    "win; a top at the edge of what was tried means that the range was too narrow. The setting is chosen above, in "
    "the section before; samples far below the winners are there where all samples are shown.",
}
WINNER_HEADERS = (
    ("family", "text"),
    ("cell", "text"),
    ("learning rate", "number"),
    ("weight decay", "number"),
    ("dropout", "number"),
    ("valid AUC untuned", "number"),
    ("valid AUC tuned", "number"),
    ("test AUC untuned", "number"),
    ("test AUC tuned", "number"),
    ("samples", "text"),
    ("near an end of its range", "text"),
)


def report_page(results: TuningResults) -> Page:
    """The whole page."""
    sections, panels = [header_html(results.study), section_html("Verdict", _verdicts(results))], []
    for body, drawn in (_curves(results), _winners(results), _samples(results)):
        sections.append(body)
        panels += drawn
    title = f"{results.study.name} · tuning report"
    return Page(title, sections + closing_sections(results.study), panels)


def _verdicts(results: TuningResults) -> str:
    """One card per family."""
    if results.study.curves is None:
        return "<p>curves.json has not been written, so there are no verdicts.</p>"
    sentences = survival_sentences(results.study)
    if not sentences:
        return "<p>There are too few finished trials for a verdict.</p>"
    return cards_html(sentences, HOW_TO_READ["verdict"])


def _curves(results: TuningResults) -> tuple[str, list[Panel]]:
    """Quality against scale, tuned and untuned."""
    if not results.study.finished or results.study.curves is None:
        return section_html("Tuned against untuned", "<p>No trial has finished and been fitted yet.</p>"), []
    panels = curve_panels(results)
    body = controls_html((METRIC_CONTROL,)) + panels_html(panels, HOW_TO_READ["curves"]) + laws_html(results.study)
    return section_html("Tuned against untuned", body), panels


def _winners(results: TuningResults) -> tuple[str, list[Panel]]:
    """The chosen settings as a figure and a table."""
    rows = winner_rows(results)
    if not rows:
        return section_html("What the search chose", "<p>No cell has a winner in samples.parquet.</p>"), []
    panel = winners_panel(results)
    body = controls_html((SETTING_CONTROL,)) + panels_html([panel], HOW_TO_READ["winners"]) + winners_html(rows)
    return section_html("What the search chose", body), [panel]


def _samples(results: TuningResults) -> tuple[str, list[Panel]]:
    """Every point that was tried; the setting is chosen in the section before."""
    if not any(sample.winner for sample in results.samples):
        return section_html("Every sample", "<p>samples.parquet has no finished sample.</p>"), []
    panels = sample_panels(results)
    body = controls_html(panels[0].controls[1:]) + panels_html(panels, HOW_TO_READ["samples"])
    return section_html("Every sample", body), panels


def winners_html(rows: list[WinnerRow]) -> str:
    """The winners as a table that sorts by a click on a header."""
    head = "".join(
        f'<th scope="col" data-kind="{kind}"><button>{text(title)}</button></th>' for title, kind in WINNER_HEADERS
    )
    body = "".join(_winner_html(row) for row in rows)
    return (
        '<div class="scroll" tabindex="0"><table class="sortable" id="winners-table">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _winner_html(row: WinnerRow) -> str:
    winner = row.winner
    numbers = [
        *(number(value, 3) for value in (winner.learning_rate, winner.weight_decay, winner.dropout)),
        *(number(value, 5) for value in (row.untuned.valid_auc, winner.valid_auc)),
        *(_auc_text(each) for each in (row.test_untuned, row.test_tuned)),
    ]
    edges = winner.near_edges.replace("_", " ").replace("+", ", ")
    cells = [f"<td>{text(word)}" for word in (model_title(winner.model), winner.place)]
    cells += [f"<td class=n>{shown}" for shown in numbers]
    cells += [f"<td>{text(word)}" for word in (row.endings, edges)]
    return f"<tr>{''.join(cells)}"


def _auc_text(auc: TestAuc | None) -> str:
    """The mean alone, so that the column sorts; hovering says the rest."""
    if auc is None:
        return number(None)
    spread = "one seed" if auc.std is None else f"± {auc.std:.2g} over {auc.seeds} seeds"
    return f'<span title="{spread}">{number(auc.mean, 5)}</span>'
