"""The trial store: one folder per trial, named by its identity; result.json present means finished.

Layout: <storage>/trials/<id>/{spec.json,result.json,spectra.arrow,predictions.arrow,train_predictions.arrow,
checkpoint/,error.txt}, and sub_embeddings.arrow where the family has blocks between fields.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from enum import StrEnum

import pyarrow as pa

from recscale.collapse.measurement import SPECTRA_SCHEMA, SUB_EMBEDDINGS_SCHEMA
from recscale.errors import DataError
from recscale.records import TrialResult, TrialSpec, from_json, to_plain
from recscale.storage.location import Location, for_each, read_arrow, remove_tree, write_atomic
from recscale.study.files import arrow_bytes
from recscale.training.trained import TrainedTrial

PREDICTIONS_SCHEMA = pa.schema([("logit", pa.float32()), ("label", pa.uint8())])
"""Columns of predictions.arrow and train_predictions.arrow."""


class TrialStatus(StrEnum):
    """What the store knows of a trial."""

    MISSING = "missing"
    FAILED = "failed"
    FINISHED = "finished"


class TrialStore:
    """The ledger of a storage folder: what has been trained, and what came out."""

    def __init__(self, storage: Location) -> None:
        self.storage = storage

    def folder(self, trial_id: str) -> Location:
        """Folder of one trial, whether it exists or not."""
        return self.storage / "trials" / trial_id

    def checkpoint_folder(self, trial_id: str) -> Location:
        """Where a running trial keeps its state."""
        return self.folder(trial_id) / "checkpoint"

    def status(self, trial_id: str) -> TrialStatus:
        """finished where result.json is there, failed where only error.txt is, else missing."""
        folder = self.folder(trial_id)
        if (folder / "result.json").exists():
            return TrialStatus.FINISHED
        return TrialStatus.FAILED if (folder / "error.txt").exists() else TrialStatus.MISSING

    def statuses(self, trial_ids: Iterable[str]) -> dict[str, TrialStatus]:
        """What is known of many trials, in their order."""
        asked = list(dict.fromkeys(trial_ids))
        return dict(zip(asked, for_each(self.status, asked, self.storage), strict=True))

    def finished_mark(self, trial_ids: Iterable[str]) -> str:
        """What names those of the trials that are finished."""
        finished = (trial for trial, status in self.statuses(trial_ids).items() if status is TrialStatus.FINISHED)
        return hashlib.sha256(" ".join(sorted(finished)).encode()).hexdigest()

    def write_spec(self, spec: TrialSpec) -> None:
        """Keeps what the trial is; the same bytes each time."""
        path = self.folder(spec.trial_id) / "spec.json"
        if not path.exists():
            write_atomic(path, _json(spec))

    def write_finished(self, trained: TrainedTrial) -> None:
        """Writes predictions and spectra, then result.json as the last; the checkpoint is not needed any more."""
        folder = self.folder(trained.result.trial_id)
        predictions = pa.table({"logit": trained.test_logits, "label": trained.test_labels})
        write_atomic(folder / "predictions.arrow", arrow_bytes(predictions))
        members = pa.table({"logit": trained.train_logits, "label": trained.train_labels})
        write_atomic(folder / "train_predictions.arrow", arrow_bytes(members))
        write_atomic(folder / "spectra.arrow", arrow_bytes(trained.spectra))
        if trained.sub_embeddings is not None:
            write_atomic(folder / "sub_embeddings.arrow", arrow_bytes(trained.sub_embeddings))
        write_atomic(folder / "result.json", _json(trained.result))
        (folder / "error.txt").unlink(missing_ok=True)
        remove_tree(folder / "checkpoint")

    def write_error(self, trial_id: str, text: str) -> None:
        """Keeps the traceback of a failed trial."""
        write_atomic(self.folder(trial_id) / "error.txt", text.encode())

    def forget_error(self, trial_id: str) -> None:
        """Removes the traceback of a trial that is tried again."""
        (self.folder(trial_id) / "error.txt").unlink(missing_ok=True)

    def read_spec(self, trial_id: str) -> TrialSpec:
        """The spec of a trial that was started once; DataError where it is missing or another trial's."""
        path = self.folder(trial_id) / "spec.json"
        spec = from_json(TrialSpec, _read(path), str(path))
        if spec.trial_id != trial_id:
            raise DataError(f"{path} is the spec of trial {spec.trial_id}, expected {trial_id}; delete its folder")
        return spec

    def read_result(self, trial_id: str) -> TrialResult:
        """The result of a finished trial; DataError where it is missing or broken."""
        path = self.folder(trial_id) / "result.json"
        return from_json(TrialResult, _read(path), str(path))

    def read_results(self, trial_ids: Iterable[str]) -> dict[str, TrialResult]:
        """The results of many finished trials, in their order."""
        asked = list(dict.fromkeys(trial_ids))
        return dict(zip(asked, for_each(self.read_result, asked, self.storage), strict=True))

    def finished(self, trials: Sequence[TrialSpec]) -> list[tuple[TrialSpec, TrialResult]]:
        """Those of the trials that have a result, with it."""
        standing = self.statuses(spec.trial_id for spec in trials)
        done = [spec for spec in trials if standing[spec.trial_id] is TrialStatus.FINISHED]
        results = self.read_results(spec.trial_id for spec in done)
        return [(spec, results[spec.trial_id]) for spec in done]

    def read_error(self, trial_id: str) -> str | None:
        """The traceback of a failed trial, None where there is none."""
        path = self.folder(trial_id) / "error.txt"
        return path.read_text() if path.exists() else None

    def read_spectra(self, trial_id: str) -> pa.Table:
        """Spectra and collapse metrics of a finished trial."""
        return read_arrow(self.folder(trial_id) / "spectra.arrow", SPECTRA_SCHEMA)

    def read_sub_embeddings(self, trial_id: str) -> pa.Table | None:
        """Abundance of a finished trial's sub-embeddings; None where its family has no blocks between fields."""
        path = self.folder(trial_id) / "sub_embeddings.arrow"
        return read_arrow(path, SUB_EMBEDDINGS_SCHEMA) if path.exists() else None

    def read_predictions(self, trial_id: str) -> pa.Table:
        """Test logits (float32) and labels (uint8) of a finished trial."""
        return read_arrow(self.folder(trial_id) / "predictions.arrow", PREDICTIONS_SCHEMA)

    def read_train_predictions(self, trial_id: str) -> pa.Table | None:
        """Logits (float32) and labels (uint8) on rows trained on; None where the trial ended before they were kept."""
        path = self.folder(trial_id) / "train_predictions.arrow"
        return read_arrow(path, PREDICTIONS_SCHEMA) if path.exists() else None


def _json(record: object) -> bytes:
    return json.dumps(to_plain(record), indent=1, allow_nan=False).encode() + b"\n"


def _read(path: Location) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; run the study again to make it") from error
