"""The tables that a page prints: every trial, the provenance, and any table that sorts."""

from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.page import number, text
from dashboards.results import StudyResults, Trial

LONGEST_ERROR = 2000
"""Characters of a traceback's end that the page keeps."""

NUMBER_COLUMNS = (
    ("scale", "scale", 6),
    ("num_sets", "sets", 6),
    ("seed", "seed", 6),
    ("embed_dim", "embed_dim", 6),
    ("table_params", "table params", 6),
    ("dense_params", "dense params", 6),
    ("flops_per_sample", "FLOPs per sample", 6),
    ("valid_auc", "valid AUC", 6),
    ("test_auc", "test AUC", 6),
    ("test_log_loss", "test log loss", 6),
    ("test_normalized_entropy", "test NE", 6),
    ("test_calibration", "test calibration", 3),
    ("best_epoch", "best epoch", 3),
    ("ia_ratio_mean", "IA / K", 3),
    ("ia_concat_ratio_mean", "IA / (M·K)", 3),
    ("weighted_ia_ratio_mean", "IA / K by frequency", 3),
    ("weighted_ia_concat_ratio_mean", "IA / (M·K) by frequency", 3),
    ("effective_rank_mean", "effective rank", 3),
    ("stable_rank_mean", "stable rank", 3),
    ("participation_ratio_mean", "participation ratio", 3),
    ("set_diversity_mean", "set diversity", 3),
    ("samples_per_second", "samples per second", 4),
    ("seconds", "seconds", 4),
    ("peak_memory_bytes", "peak memory (bytes)", 6),
)


@dataclass(frozen=True)
class ErrorText:
    """A failed trial's error as the table shows it."""

    last_line: str
    """What is always visible."""
    whole: str
    """What unfolds: the traceback, its beginning cut where it is very long."""


def error_text(error: str) -> ErrorText:
    """The last line of a traceback that says something, and its end."""
    lines = [line for line in error.splitlines() if line.strip()]
    cut = f"… (beginning left out)\n{error[-LONGEST_ERROR:]}" if len(error) > LONGEST_ERROR else error
    return ErrorText(last_line=lines[-1].strip() if lines else "no error text", whole=cut)


def sortable_html(name: str, columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]]) -> str:
    """A table that sorts by a click on a header; columns are titles and kinds (text | number), cells plain text."""
    head = "".join(_header(title, kind) for title, kind in columns)
    kinds = ["<td class=n>" if kind == "number" else "<td>" for _, kind in columns]
    body = "".join(
        f"<tr>{''.join(kind + text(cell) for kind, cell in zip(kinds, row, strict=True))}</tr>" for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table class="sortable" id="{name}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def trials_html(results: StudyResults) -> str:
    """Every trial in a table that sorts by a click on a header."""
    further = list(dict.fromkeys(name for trial in results.trials for name, _ in trial.further))
    words = ["trial", "status", "family", "variant", "arm"]
    head = [_header(word, "text") for word in words]
    head += [_header(title, "number") for _, title, _ in NUMBER_COLUMNS]
    head += [_header(word, "text") for word in [*further, "error"]]
    rows = "".join(_trial_row(trial, further) for trial in results.trials)
    return (
        '<div class="scroll" tabindex="0"><table class="sortable" id="trials">'
        f"<thead><tr>{''.join(head)}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _header(title: str, kind: str) -> str:
    """A header that sorts its column."""
    return f'<th scope="col" data-kind="{kind}"><button>{text(title)}</button></th>'


def _trial_row(trial: Trial, further: list[str]) -> str:
    """One trial; a missing number is a dash, which sorts last."""
    words = [trial.trial_id, trial.status, trial.family, trial.variant, trial.arm]
    numbers = [number(getattr(trial, name), digits) for name, _, digits in NUMBER_COLUMNS]
    named = dict(trial.further)
    cells = [f"<td>{text(word)}" for word in words] + [f"<td class=n>{shown}" for shown in numbers]
    cells += [f"<td>{text(named.get(name, ''))}" for name in further]
    return f"<tr class='{text(trial.status)}'>{''.join(cells)}{_error(trial)}"


def _error(trial: Trial) -> str:
    """The error's last line, which unfolds to the traceback."""
    if not trial.error:
        return "<td>"
    shown = error_text(trial.error)
    return f"<td class=wide><details><summary>{text(shown.last_line)}</summary><pre>{text(shown.whole)}</pre></details>"


def provenance_html(results: StudyResults) -> str:
    """Name and value pairs."""
    if not results.provenance:
        return "<p>provenance.json has not been written, so nothing is known about how these results came to be.</p>"
    rows = "".join(f'<tr><th scope="row">{text(k)}</th><td>{text(v)}</td></tr>' for k, v in results.provenance)
    return f'<div class="scroll"><table class="pairs"><tbody>{rows}</tbody></table></div>'
