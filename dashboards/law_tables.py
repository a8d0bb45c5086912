"""The laws that were fitted: what was chosen and why, and how every candidate did by both criteria."""

from dataclasses import dataclass

from dashboards.page import number, text
from dashboards.results import StudyResults
from dashboards.trial_table import sortable_html
from recscale.curves.curve import CandidateFit, Curve

OPENING = (
    "AICc chooses, and of the laws within 2 of the lowest the simplest (AICc above the best: 0 is the best). The "
    "back-test, a law fitted without the largest scale against the mean observed there, only checks: it is in the "
    "units of the metric, and where it prefers another law, forecasts are less certain than they look."
)
LAW_COLUMNS = ("family", "arm", "metric", "law", "chosen by", "formula", "note")
CANDIDATE_COLUMNS = (
    ("family", "text"),
    ("arm", "text"),
    ("metric", "text"),
    ("law", "text"),
    ("AICc above the best", "number"),
    ("back-test error at the largest scale", "number"),
    ("preferred by", "text"),
)


@dataclass(frozen=True)
class LawRow:
    """One fitted curve in words."""

    model: str
    """Family and variant."""
    arm: str
    """SE | ME."""
    metric: str
    """The metric that was fitted."""
    law: str
    """Name of the selected law, or a dash."""
    selection: str
    """Why it was selected, and what the back-test says of it."""
    formula: str
    """The law with its fitted numbers."""
    note: str
    """What the fit's author has to say about it."""


@dataclass(frozen=True)
class CandidateRow:
    """One law that a curve could have been described by."""

    model: str
    """Family and variant."""
    arm: str
    """SE | ME."""
    metric: str
    """The metric that was fitted."""
    law: str
    """Its name."""
    aicc_above: float
    """AICc minus the lowest of the curve's converged candidates."""
    backtest: float | None
    """Miss at the largest scale, fitted without it; None where too few scales would be left."""
    preferred: tuple[str, ...]
    """Which of "AICc (chosen)" and "back-test" prefer it."""


def law_rows(results: StudyResults) -> list[LawRow]:
    """Every fitted curve, in the order of curves.json."""
    return [
        LawRow(
            model=f"{curve.family} ({curve.variant})",
            arm=str(curve.arm),
            metric=curve.metric,
            law=curve.law or "–",
            selection=curve.selection,
            formula=curve.formula or "–",
            note=curve.note,
        )
        for curve in _curves(results)
    ]


def candidate_rows(results: StudyResults) -> list[CandidateRow]:
    """Every candidate of every curve, in the order of curves.json."""
    return [_candidate_row(curve, each) for curve in _curves(results) for each in curve.candidates]


def _candidate_row(curve: Curve, candidate: CandidateFit) -> CandidateRow:
    lowest = min((each.aicc for each in curve.candidates if each.converged), default=candidate.aicc)
    errors = [each.backtest for each in curve.candidates if each.backtest is not None]
    by_aicc = ("AICc (chosen)",) if candidate.law == curve.law else ()
    by_backtest = ("back-test",) if candidate.backtest is not None and candidate.backtest == min(errors) else ()
    return CandidateRow(
        model=f"{curve.family} ({curve.variant})",
        arm=str(curve.arm),
        metric=curve.metric,
        law=candidate.law,
        aicc_above=candidate.aicc - lowest,
        backtest=candidate.backtest,
        preferred=by_aicc + by_backtest,
    )


def _curves(results: StudyResults) -> tuple[Curve, ...]:
    return results.curves.curves if results.curves else ()


def laws_html(results: StudyResults) -> str:
    """The fitted laws and all candidates, folded."""
    rows = "".join(_law_html(row) for row in law_rows(results))
    head = "".join(f'<th scope="col">{name}</th>' for name in LAW_COLUMNS)
    candidates = [_candidate_cells(row) for row in candidate_rows(results)]
    return (
        '<details><summary>Fitted laws</summary><div class="scroll" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"
        f"<details><summary>Every law that was tried, by AICc and back-test</summary><p>{text(OPENING)}</p>"
        f"{sortable_html('candidates', CANDIDATE_COLUMNS, candidates)}</details>"
    )


def _law_html(row: LawRow) -> str:
    words = "".join(f"<td>{text(word)}</td>" for word in (row.model, row.arm, row.metric, row.law))
    wide = "".join(f'<td class="wide">{text(word)}</td>' for word in (row.selection, row.formula, row.note))
    return f"<tr>{words}{wide}</tr>"


def _candidate_cells(row: CandidateRow) -> tuple[str, ...]:
    numbers = (f"{row.aicc_above:.2f}", number(row.backtest, 3))
    return (row.model, row.arm, row.metric, row.law, *numbers, ", ".join(row.preferred))
