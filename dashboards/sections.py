"""Sections that pages of every recipe share: the header, verdict cards, every trial, and the provenance."""

from collections.abc import Iterable

from dashboards.page import section_html, text
from dashboards.results import FAILED, FINISHED, StudyResults
from dashboards.trial_table import provenance_html, trials_html

HEADER_ENTRIES = ("dataset", "created")
NOTHING_FINISHED = "<p>No trial of this study has finished yet, so there is nothing to draw.</p>"


def header_html(results: StudyResults) -> str:
    """Name, data, time, and how far the study is."""
    named = dict(results.provenance)
    entries = " · ".join(text(named[key]) for key in HEADER_ENTRIES if named.get(key))
    counts = [(status, sum(t.status == status for t in results.trials)) for status in (FINISHED, FAILED, "missing")]
    shown = ", ".join(f'<span class="{"bad" if s == FAILED and n else ""}">{n} {s}</span>' for s, n in counts)
    head = f'<h1>{text(results.name)}</h1><p class="muted">{entries}</p><p>{len(results.trials)} trials: {shown}</p>'
    return f"<header>{head}</header>"


def cards_html(sentences: Iterable[tuple[str, str]], how_to_read: str) -> str:
    """One card per title and sentence, and one line on what they compare."""
    cards = "".join(
        f'<div class="card"><h3>{text(title)}</h3><p>{text(sentence)}</p></div>' for title, sentence in sentences
    )
    return f'<div class="cards">{cards}</div><p class="how">{text(how_to_read)}</p>'


def closing_sections(results: StudyResults) -> list[str]:
    """Every trial, then the provenance."""
    return [
        section_html("Every trial", trials_html(results)),
        section_html("Provenance", provenance_html(results)),
    ]
