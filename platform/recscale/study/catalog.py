"""All studies of a storage, newest first, as one table: what an index page lists."""

import json
from collections import Counter
from dataclasses import dataclass

from recscale.errors import DataError
from recscale.records import from_rows, to_plain
from recscale.storage.location import Location, for_each, read_parquet, write_atomic
from recscale.study.store import TrialStatus
from recscale.study.study import STUDY_FILE, Study, read_study

CATALOG_FILE = "studies.json"


@dataclass(frozen=True)
class CatalogEntry:
    """One study as the index shows it."""

    name: str
    """Its folder's name."""
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
    """Family of the trial with the best valid AUC; None where nothing has finished."""
    best_test_auc: float | None
    """Test AUC of that trial."""
    problem: str
    """Why the study cannot be read; empty where it can."""


def catalog(storage: Location) -> tuple[CatalogEntry, ...]:
    """Every study of the storage, newest first; one that cannot be read is listed with what is wrong."""
    folders = sorted(path.parent for path in storage.glob(f"*/{STUDY_FILE}"))
    entries = for_each(catalog_entry, folders, storage)
    return tuple(sorted(entries, key=lambda entry: (entry.created, entry.name), reverse=True))


def write_catalog(storage: Location) -> Location:
    """Writes studies.json into the storage; DataError where the storage is no folder."""
    if not storage.is_dir():
        raise DataError(f"{storage} is no folder; expected the --storage of a study")
    path = storage / CATALOG_FILE
    write_atomic(path, json.dumps(to_plain(catalog(storage)), indent=1).encode() + b"\n")
    return path


def catalog_entry(folder: Location) -> CatalogEntry:
    """The entry of one study, by its folder."""
    try:
        study = read_study(folder)
        family, auc = _best(study)
    except DataError as error:
        return CatalogEntry(folder.name, "", "", "", 0, 0, 0, None, None, str(error))
    counts = Counter(study.store.statuses(spec.trial_id for spec in study.spec.trials).values())
    known = dict(study.provenance)
    return CatalogEntry(
        name=study.spec.name,
        recipe=study.spec.recipe,
        dataset=known.get("dataset", ""),
        created=known.get("created", ""),
        finished=counts[TrialStatus.FINISHED],
        failed=counts[TrialStatus.FAILED],
        missing=counts[TrialStatus.MISSING],
        best_family=family,
        best_test_auc=auc,
        problem="",
    )


def _best(study: Study) -> tuple[str | None, float | None]:
    """Family and test AUC of the trial that the valid split selects, as trials.parquet last knew it."""
    path = study.folder / "trials.parquet"
    if not path.is_file():
        return None, None
    rows = from_rows(_Scores, read_parquet(path, columns=["family", "valid_auc", "test_auc"]).to_pylist(), str(path))
    best = max((row for row in rows if row.valid_auc is not None), key=lambda row: row.valid_auc or 0.0, default=None)
    return (best.family, best.test_auc) if best else (None, None)


@dataclass(frozen=True)
class _Scores:
    """What a row of trials.parquet says of quality."""

    family: str
    valid_auc: float | None
    test_auc: float | None
