"""A study's own folder: <storage>/<name>/, its study.json, and how a user names it."""

import json
import re
from dataclasses import dataclass

from recscale.errors import ConfigError, DataError
from recscale.records import ModelCost, Refusal, StudySpec, TrialSpec, from_json, to_plain
from recscale.storage.filesystems import is_uri
from recscale.storage.location import Location, location, write_atomic
from recscale.study.store import TrialStore

STUDY_FILE = "study.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Study:
    """What a study is, as study.json."""

    spec: StudySpec
    """Name, dataset and trials."""
    costs: tuple[ModelCost, ...]
    """Size and cost of each trial, in the trials' order."""
    refused: tuple[Refusal, ...]
    """Grid points left out, with reasons."""
    provenance: tuple[tuple[str, str], ...]
    """Command, versions, machine and data, by name."""
    storage: str
    """The folder that holds trials/ and this study's folder; absolute."""

    @property
    def folder(self) -> Location:
        """Where the study's tables and report are."""
        return location(self.storage) / self.spec.name

    @property
    def store(self) -> TrialStore:
        """Where its trials are."""
        return TrialStore(location(self.storage))

    @property
    def files(self) -> tuple[Location, ...]:
        """Every file in the study's folder."""
        return tuple(path for path in sorted(self.folder.iterdir()) if path.is_file())

    @property
    def trials(self) -> tuple[tuple[TrialSpec, ModelCost], ...]:
        """Every trial with its cost."""
        return tuple(zip(self.spec.trials, self.costs, strict=True))


def write_study(study: Study) -> None:
    """Writes study.json, replacing that of the command before: a study is what its last command says."""
    write_atomic(study.folder / STUDY_FILE, json.dumps(to_plain(study), indent=1).encode())


def read_study(folder: Location) -> Study:
    """Reads study.json of a study's folder; the storage is the folder's parent, wherever it was moved to."""
    path = folder / STUDY_FILE
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(f"{folder} is no study folder: cannot read {STUDY_FILE} ({error.strerror})") from error
    study = from_json(Study, text, str(path))
    return Study(study.spec, study.costs, study.refused, study.provenance, str(folder.resolve().parent))


def known_costs(folder: Location) -> dict[TrialSpec, ModelCost]:
    """What the trials of a study cost by its last command; empty where there was none, or its file is broken."""
    try:
        return dict(read_study(folder).trials)
    except DataError:
        return {}


def find_study(name_or_path: str, storage: Location) -> Location:
    """The folder of a study given by path, or by name inside the storage; ConfigError where there is none."""
    for folder in _candidates(name_or_path, storage):
        if (folder / STUDY_FILE).is_file():
            return folder.resolve()
    known = sorted(path.parent.name for path in storage.glob(f"*/{STUDY_FILE}"))
    raise ConfigError(
        f"no study {name_or_path!r}: neither that folder nor one of that name in the storage holds {STUDY_FILE}; "
        f"studies in {storage}: {', '.join(known) or 'none'}"
    )


def _candidates(name_or_path: str, storage: Location) -> tuple[Location, ...]:
    """Where a study may be that a user names so."""
    place = location(name_or_path)
    return (place,) if is_uri(name_or_path) else (place, storage / name_or_path)


def check_name(name: str) -> str:
    """The name, where it can be a folder's; ConfigError otherwise."""
    if not _NAME.fullmatch(name) or name in ("trials", "claims"):
        raise ConfigError(f"study name {name!r} cannot be used; use letters, digits, dot, dash and underscore")
    return name
