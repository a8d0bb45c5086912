"""What a study along one axis says, in sentences that claim no more than the intervals over seeds do."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from dashboards.axis_tables import Change, Line, StudyAxis, Value, end_changes, inner_changes, lines
from dashboards.page import text
from dashboards.results import Trial
from dashboards.tables import grouped
from recscale.curves.differences import Trend
from recscale.curves.words import change_words, signed_number

QUALITY: dict[str, Value] = {"test AUC": attrgetter("test_auc")}
ABUNDANCE: dict[str, Value] = {
    "IA/K": attrgetter("ia_ratio_mean"),
    "IA/K by frequency": attrgetter("weighted_ia_ratio_mean"),
}
TRENDS = {
    Trend.RISES: "rises in {}",
    Trend.FALLS: "falls in {}",
    Trend.WITHIN_NOISE: "stays within seed noise in {}",
    Trend.ONE_SEED: "has no interval, for want of seeds, in {}",
}

Changes = Callable[[Sequence[Line]], list[Change]]
"""Which changes of a family's lines are judged."""


@dataclass(frozen=True)
class ChangeRow:
    """What one configuration does over one stretch of the axis."""

    line: str
    """The configuration, after its group."""
    stretch: str
    """From where to where."""
    words: tuple[str, ...]
    """Change of every quantity, in the order of QUALITY and ABUNDANCE; a dash where it has none."""


def sentences(trials: Sequence[Trial], axis: StudyAxis) -> list[str]:
    """One sentence per group and pair of ends; and, of a numeric axis, what is left without its first value."""
    whole = _told(trials, axis, {**QUALITY, **ABUNDANCE}, lambda found: end_changes(found, axis.spacing))
    rest = _told(trials, axis, ABUNDANCE, lambda found: inner_changes(found, axis.spacing))
    told = [f"{_start(key, axis)}: {'; '.join(parts)}." for key, parts in whole.items()]
    told += [f"Without the first value, {_start(key, axis)}: {'; '.join(parts)}." for key, parts in rest.items()]
    return [sentence[0].upper() + sentence[1:] for sentence in told] or [f"Nothing to compare along {axis.name} yet."]


Stretch = tuple[str, str, str]
"""Group, first place and last place."""


def _told(
    trials: Sequence[Trial], axis: StudyAxis, quantities: dict[str, Value], changes: Changes
) -> dict[Stretch, list[str]]:
    """What every quantity does, by stretch."""
    told: dict[Stretch, list[str]] = {}
    for name, value in quantities.items():
        for stretch, group in grouped((_stretch(c), c) for c in changes(lines(trials, axis, value))).items():
            told.setdefault(stretch, []).append(f"{name} {_summary(group)}")
    return told


def _stretch(change: Change) -> Stretch:
    return change.line.group, change.first.label, change.last.label


def _start(stretch: Stretch, axis: StudyAxis) -> str:
    group, first, last = stretch
    return f"{f'with {group}, ' if group else ''}from {axis.name} {first} to {last}"


def _summary(changes: list[Change]) -> str:
    """How many configurations do what; the change itself where there is one."""
    if len(changes) == 1:
        return change_words(changes[0].difference)
    counts = Counter(change.difference.trend for change in changes)
    parts = [words.format(counts[trend]) for trend, words in TRENDS.items() if counts[trend]]
    values = sorted(change.difference.value for change in changes)
    size = max(map(abs, values))
    span = f"{signed_number(values[0], size)} to {signed_number(values[-1], size)}"
    return f"{' and '.join(parts)} of {len(changes)} configurations ({span})"


def change_rows(trials: Sequence[Trial], axis: StudyAxis) -> list[ChangeRow]:
    """Every configuration's changes from end to end."""
    quantities = {**QUALITY, **ABUNDANCE}
    words: dict[tuple[str, Stretch], dict[str, str]] = {}
    for name, value in quantities.items():
        for change in end_changes(lines(trials, axis, value), axis.spacing):
            words.setdefault((change.line.label, _stretch(change)), {})[name] = change_words(change.difference)
    return [
        ChangeRow(
            line=f"{stretch[0]}, {label}" if stretch[0] else label,
            stretch=f"{stretch[1]} to {stretch[2]}",
            words=tuple(told.get(name, "–") for name in quantities),
        )
        for (label, stretch), told in words.items()
    ]


def changes_html(rows_by_model: dict[str, list[ChangeRow]], axis: StudyAxis) -> str:
    """Every configuration's changes, folded."""
    heads = ("family", "configuration", axis.name, *QUALITY, *ABUNDANCE)
    head = "".join(f"<th>{text(name)}</th>" for name in heads)
    body = "".join(
        f"<tr>{''.join(f'<td>{text(cell)}</td>' for cell in (model, row.line, row.stretch, *row.words))}</tr>"
        for model, rows in rows_by_model.items()
        for row in rows
    )
    return (
        '<details><summary>Every configuration by itself</summary><div class="scroll" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )
