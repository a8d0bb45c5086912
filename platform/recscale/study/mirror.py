"""MLflow as a mirror of the trial store: it never stops a study, and is left alone where it has everything."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from recscale.errors import DataError
from recscale.records import StudySpec, TrialSpec, from_json
from recscale.storage.location import Location, location
from recscale.study.files import write_json
from recscale.study.store import TrialStatus, TrialStore
from recscale.study.study import Study
from recscale.study.tracking_place import own_database, tracking_uri

if TYPE_CHECKING:
    from recscale.study.tracking import Tracker

RECEIPT_FILE = "mirrored.json"
OF_THE_COMMAND = ("provenance.json", "report.html", "study.json", RECEIPT_FILE)
"""Files that say when and by which command they were written: they differ where nothing else does."""


@dataclass(frozen=True)
class Receipt:
    """What MLflow had when everything of a study was logged."""

    uri: str
    """Its store."""
    address: str
    """Where a user looks at the study in it."""
    trials: str
    """Names the finished trials."""
    outputs: str
    """Names the study's tables and their content."""


class Mirror:
    """A tracker that never stops a study: after a failure it keeps a note and leaves the rest to sync.

    Each further call to a server that is away would hold up the study by its retries.

    `resting`: every trial is finished. Then MLflow, which takes two seconds to import and open, is left alone where its
    receipt says that it has them, and unless the study's tables turn out to be others than it has.
    """

    def __init__(self, storage: Location, study: StudySpec, resting: bool = False) -> None:
        self.problem: str | None = None
        self._storage, self._study = storage, study
        self._tracker: Tracker | None = None
        self._receipt = self._valid_receipt() if resting else None
        if self._receipt is None:
            self._connect()

    @property
    def address(self) -> str:
        """As Tracker.address; empty where MLflow is away."""
        if self._receipt is not None:
            return self._receipt.address
        return self._tracker.address if self._tracker else ""

    def start_trial(self, spec: TrialSpec) -> None:
        """As Tracker.start_trial."""
        self._do(lambda tracker: tracker.start_trial(spec))

    def log_trial(self, spec: TrialSpec) -> None:
        """As Tracker.log_trial."""
        self._do(lambda tracker: tracker.log_trial(spec))

    def look_for(self, spec: TrialSpec) -> None:
        """As Tracker.look_for."""
        self._do(lambda tracker: tracker.look_for(spec))

    def look_again(self) -> None:
        """As Tracker.look_again."""
        self._do(lambda tracker: tracker.look_again())

    def end_study(self, outputs: Sequence[Location], failed: int) -> None:
        """As Tracker.end_study, and the receipt where nothing was left out."""
        logged = [path for path in outputs if path.name != RECEIPT_FILE]
        content = _content(logged)
        if self._receipt is not None:
            if self._receipt.outputs == content:
                return
            self._receipt = None
            self._connect()
        marks: list[str] = []
        self._do(lambda tracker: marks.append(tracker.end_study(logged, failed)))
        if marks and self.problem is None:
            receipt = Receipt(tracking_uri(self._storage), self.address, marks[0], content)
            write_json(self._storage / self._study.name / RECEIPT_FILE, asdict(receipt))

    def _connect(self) -> None:
        with self._noting():
            from recscale.study.tracking import Tracker  # only here: MLflow takes seconds to import

            self._tracker = Tracker(self._storage, self._study)

    def _do(self, action: Callable[["Tracker"], object]) -> None:
        if self._tracker is not None:
            with self._noting():
                action(self._tracker)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        from recscale.study.tracking import AWAY

        try:
            yield
        except AWAY as error:
            self.problem = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            self._tracker = None

    def _valid_receipt(self) -> Receipt | None:
        """The receipt of this store and these trials; None where there is none, it is another's, or a file is gone."""
        path = self._storage / self._study.name / RECEIPT_FILE
        try:
            receipt = from_json(Receipt, path.read_bytes(), str(path))
        except (OSError, DataError):
            return None
        database = own_database(self._storage)
        if receipt.uri != tracking_uri(self._storage) or (database is not None and not database.exists()):
            return None
        finished = TrialStore(self._storage).finished_mark(spec.trial_id for spec in self._study.trials)
        return receipt if receipt.trials == finished else None


def _content(outputs: Sequence[Location]) -> str:
    """Names the files that do not depend on the command, and what is in them."""
    digest = hashlib.sha256()
    for path in outputs:
        if path.name not in OF_THE_COMMAND:
            digest.update(json.dumps([path.name, hashlib.sha256(path.read_bytes()).hexdigest()]).encode())
    return digest.hexdigest()


def sync_study(study: Study) -> str | None:
    """Logs every ended trial and the study's files that MLflow does not have; what stopped it, None where nothing."""
    mirror = Mirror(location(study.storage), study.spec)
    mirror.look_again()
    for spec in study.spec.trials:
        mirror.log_trial(spec)
    standing = study.store.statuses(spec.trial_id for spec in study.spec.trials)
    failed = sum(status is TrialStatus.FAILED for status in standing.values())
    mirror.end_study(study.files, failed)
    return mirror.problem
