"""The index page: all studies of a storage, newest first, with links to their reports."""

from dataclasses import dataclass
from urllib.parse import quote

from dashboards.page import Page, number, page_html, section_html, text, write_page_file
from recscale.records import from_json
from recscale.storage.location import Location

INDEX_FILE = "index.html"
COLUMNS = (
    ("study", "text"),
    ("recipe", "text"),
    ("dataset", "text"),
    ("created", "text"),
    ("finished", "number"),
    ("failed", "number"),
    ("missing", "number"),
    ("best family", "text"),
    ("its test AUC", "number"),
)


@dataclass(frozen=True)
class StudyEntry:
    """One row of studies.json."""

    name: str
    """The study's folder."""
    recipe: str
    """The question it asks."""
    dataset: str
    """Name of its dataset."""
    created: str
    """When its last command began, UTC."""
    finished: int
    """Trials with a result."""
    failed: int
    """Trials with an error."""
    missing: int
    """Trials not run, or still running."""
    best_family: str | None
    """Family of the trial with the best valid AUC."""
    best_test_auc: float | None
    """Test AUC of that trial."""
    problem: str
    """Why the study cannot be read."""


def load_entries(storage: Location) -> tuple[StudyEntry, ...]:
    """The studies that studies.json lists; DataError where it is broken."""
    path = storage / "studies.json"
    return from_json(tuple[StudyEntry, ...], path.read_bytes(), str(path))


def write_index(storage: Location) -> Location:
    """Reads studies.json and writes index.html beside it; its path."""
    return write_page_file(storage / INDEX_FILE, index_html(storage.resolve().name, load_entries(storage)))


def index_html(storage: str, entries: tuple[StudyEntry, ...], link: str = "{name}/report.html") -> str:
    """The page as text; `link` is where a study's page is, relative to this one."""
    trials = sum(entry.finished + entry.failed + entry.missing for entry in entries)
    studies = "1 study" if len(entries) == 1 else f"{len(entries)} studies"
    head = f'<header><h1>Studies in {text(storage)}</h1><p class="muted">{studies}, {trials} trials</p>'
    how = '<p class="how">Newest first; a click on a column sorts by it. The best family is the one that the valid '
    how += "split selects.</p>"
    body = _table(entries, link) + how if entries else "<p>No study has been run in this storage yet.</p>"
    return page_html(Page(f"{storage} · studies", [f"{head}</header>", section_html("Every study", body)], []))


def _table(entries: tuple[StudyEntry, ...], link: str) -> str:
    head = "".join(f'<th scope="col" data-kind="{kind}"><button>{name}</button></th>' for name, kind in COLUMNS)
    rows = "".join(_row(entry, link) for entry in entries)
    return (
        '<div class="scroll" tabindex="0"><table class="sortable" id="studies">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(entry: StudyEntry, link: str) -> str:
    """One study; what cannot be read says why in the place of its numbers."""
    if entry.problem:
        return f'<tr class="failed"><td>{text(entry.name)}</td><td colspan="8">{text(entry.problem)}</td></tr>'
    address = text(link.format(name=quote(entry.name)))
    words = (entry.recipe, entry.dataset, entry.created)
    counts = (entry.finished, entry.failed, entry.missing)
    cells = [f'<td><a href="{address}">{text(entry.name)}</a></td>', *(f"<td>{text(word)}</td>" for word in words)]
    cells += [
        f'<td class="n{" bad" if name == "failed" and count else ""}">{count}</td>'
        for name, count in zip(("finished", "failed", "missing"), counts, strict=True)
    ]
    best = f"<td>{text(entry.best_family or '–')}</td><td class=n>{number(entry.best_test_auc)}</td>"
    return f"<tr>{''.join(cells)}{best}</tr>"
