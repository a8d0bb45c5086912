"""The pages of a storage, written anew whenever its trials have changed."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from recscale.errors import DataError
from recscale.storage.location import Location, modified_ns
from recscale.study.catalog import catalog_entry, write_catalog
from recscale.study.results import write_results
from recscale.study.study import STUDY_FILE, Study, read_study

WritePage = Callable[[str, Location], Location]
"""(recipe, study folder) -> the page it wrote."""


@dataclass(frozen=True)
class Standing:
    """What a page shows: it is written again when this differs from what it was written from."""

    finished: int
    """Trials with a result."""
    failed: int
    """Trials with an error."""
    missing: int
    """Trials not run, or still running."""
    command_time: int
    """When study.json was last written, in nanoseconds of the file's clock: a later command changes the grid."""


class Pages:
    """Studies of one storage by name; safe to be asked by several threads at once."""

    def __init__(self, storage: Location, write_page: WritePage) -> None:
        if not storage.is_dir():
            raise DataError(f"{storage} is no folder; expected the --storage of a study")
        self.storage = storage.resolve()
        self._write_page = write_page
        self._written: dict[str, Standing] = {}
        self._lock = threading.Lock()

    def write_index_table(self) -> None:
        """Writes studies.json anew."""
        with self._lock:
            write_catalog(self.storage)

    def study(self, name: str) -> Study | None:
        """The study of that name; None where the storage holds none, whatever else the name may point at."""
        known = {path.parent.name for path in self.storage.glob(f"*/{STUDY_FILE}")}
        return read_study(self.storage / name) if name in known else None

    def standing(self, study: Study) -> Standing:
        """What the store knows of the study now."""
        entry = catalog_entry(study.folder)
        changed = modified_ns(study.folder / STUDY_FILE)
        return Standing(entry.finished, entry.failed, entry.missing, changed)

    def report(self, study: Study) -> bytes:
        """The study's page, written from the store where that has changed since."""
        with self._lock:
            standing = self.standing(study)
            path = study.folder / "report.html"
            if self._written.get(study.folder.name) != standing or not path.is_file():
                write_results(study)
                path = self._write_page(study.spec.recipe, study.folder)
                self._written[study.folder.name] = standing
            return path.read_bytes()
