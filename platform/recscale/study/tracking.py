"""A study in MLflow: study = parent run, trial = child run. The only module that imports MLflow.

The trial store is the truth. Every call here is idempotent, so what was cut off is completed by logging again.
"""

import dataclasses
import logging
import os
import sqlite3
import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # an outage is noticed in seconds; sync re-logs
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines for every trial

from mlflow.entities import Metric, Param, RunInfo, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from recscale.records import CollapseSummary, Evaluation, Metrics, StudySpec, TrialResult, TrialSpec, to_plain
from recscale.storage.location import Location, local_copy
from recscale.study.store import TrialStatus, TrialStore
from recscale.study.tracking_place import own_database, tracking_uri

for noisy in ("alembic", "mlflow.store.db.utils"):  # the tables of a new SQLite file are no news to a user
    logging.getLogger(noisy).setLevel(logging.WARNING)

EXPERIMENT = "recscale"
STUDY_TAG = "recscale.study"
TRIAL_TAG = "recscale.trial_id"
PARENT_TAG = "mlflow.parentRunId"
MIRRORED_TAG = "recscale.mirrored"
"""Of a study's run: which trials it had when all of them were mirrored, so that they need not be asked for again."""
FINISHED = "FINISHED"
AWAY = (MlflowException, OSError, sqlite3.Error)
"""What is raised where MLflow cannot be reached or does not take something."""
BATCH = 900
"""Metrics per log_batch call, of the 1,000 entries that MLflow takes: the first call brings the parameters, too."""


class Tracker:
    """Writes one study to MLflow; one process per study does so, the one that schedules its trials.

    Every method raises what MLflow raises where the server is away; `Mirror` turns that into a note.
    """

    def __init__(self, storage: Location, study: StudySpec) -> None:
        uri = self._uri = tracking_uri(storage)
        self._client = MlflowClient(uri)
        self._experiment = _experiment_id(self._client, storage)
        self._store = TrialStore(storage)
        place = str(storage / study.name).replace("'", "_")
        self._parent = self._find_parent(study, place)
        params = {"dataset": study.dataset.path, "dataset_fingerprint": study.dataset.fingerprint}
        self._client.log_batch(self._parent, params=_params(params), tags=[RunTag("trials", str(len(study.trials)))])
        self._client.update_run(self._parent, status="RUNNING")
        self._trials = study.trials
        marked = self._client.get_run(self._parent).data.tags.get(MIRRORED_TAG)
        self._mirrored = marked == self._mark()

    @property
    def address(self) -> str:
        """Where a user looks at the study: its run's page on a server, else the store's URI."""
        if not self._uri.startswith(("http://", "https://")):
            return self._uri
        return f"{self._uri.rstrip('/')}/#/experiments/{self._experiment}/runs/{self._parent}"

    def start_trial(self, spec: TrialSpec) -> str:
        """The child run of a trial, made where there is none; its run id."""
        if spec.trial_id not in self._children:
            model = spec.model
            name = f"{model.family}-x{model.scale:g}-M{model.num_sets}-s{spec.seed}"
            tags = {PARENT_TAG: self._parent, TRIAL_TAG: spec.trial_id}
            run = self._client.create_run(self._experiment, tags=tags, run_name=name)
            self._children[spec.trial_id] = run.info
        return str(self._children[spec.trial_id].run_id)

    def log_trial(self, spec: TrialSpec) -> None:
        """Parameters, per-evaluation metrics and artifacts of a trial that has ended; nothing where it is mirrored."""
        status = self._store.status(spec.trial_id)
        if self._mirrored and status is TrialStatus.FINISHED:
            return
        known = self._children.get(spec.trial_id)
        if status is TrialStatus.MISSING or (known is not None and known.status == FINISHED):
            return
        run_id = self.start_trial(spec)
        params = _params(_flat(spec))
        folder = self._store.folder(spec.trial_id)
        if status is TrialStatus.FAILED:
            self._client.log_batch(run_id, params=params)
            self._log_file(run_id, folder / "error.txt")
            self._client.set_terminated(run_id, "FAILED")
            return
        metrics = _metrics(self._store.read_result(spec.trial_id))
        for start in range(0, len(metrics), BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + BATCH], params=params)
            params = []
        for path in (folder / "result.json", folder / "spectra.arrow", folder / "sub_embeddings.arrow"):
            if path.exists():
                self._log_file(run_id, path)
        self._client.set_terminated(run_id, FINISHED)

    def end_study(self, outputs: Sequence[Location], failed: int) -> str:
        """Logs the study's files to the parent run and closes it; what names the finished trials, which it has."""
        for path in outputs:
            self._log_file(self._parent, path)
        mark = self._mark()
        self._client.set_tag(self._parent, MIRRORED_TAG, mark)
        self._client.set_terminated(self._parent, "FAILED" if failed else FINISHED)
        return mark

    def _log_file(self, run_id: str, place: Location) -> None:
        with local_copy(place) as path:
            self._client.log_artifact(run_id, str(path))

    def _find_parent(self, study: StudySpec, place: str) -> str:
        """The study's run, made where there is none."""
        found = f"tags.`{STUDY_TAG}` = '{place}'"
        runs = self._client.search_runs([self._experiment], found, max_results=1)
        if runs:
            return str(runs[0].info.run_id)
        created = self._client.create_run(self._experiment, tags={STUDY_TAG: place}, run_name=study.name)
        return str(created.info.run_id)

    def look_for(self, spec: TrialSpec) -> None:
        """Asks MLflow for the run of a trial that another driver may have begun meanwhile."""
        self._children.update(self._found(f" and tags.`{TRIAL_TAG}` = '{spec.trial_id}'"))

    def look_again(self) -> None:
        """Asks MLflow for every trial's run, whatever was mirrored before."""
        self._mirrored = False
        self.__dict__.pop("_children", None)

    def _mark(self) -> str:
        """What names the finished trials of the study."""
        return self._store.finished_mark(spec.trial_id for spec in self._trials)

    @cached_property
    def _children(self) -> dict[str, RunInfo]:
        """Every trial's run by trial id, asked for once."""
        return self._found("")

    def _found(self, more: str) -> dict[str, RunInfo]:
        """The study's runs of trials, by trial id."""
        found, token = {}, None
        while True:
            page = self._client.search_runs(
                [self._experiment], f"tags.`{PARENT_TAG}` = '{self._parent}'{more}", page_token=token
            )
            found.update({run.data.tags[TRIAL_TAG]: run.info for run in page if TRIAL_TAG in run.data.tags})
            token = page.token
            if not token:
                return found


def _experiment_id(client: MlflowClient, storage: Location) -> str:
    """The project's experiment, made once; a SQLite file is put into write-ahead mode so that readers never block."""
    own = own_database(storage)
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    if own:
        with sqlite3.connect(own) as connection:
            connection.execute("pragma journal_mode=wal")
    location = (own.parent / "mlflow-artifacts").as_uri() if own else None
    return str(client.create_experiment(EXPERIMENT, artifact_location=location))


def _flat(spec: TrialSpec) -> dict[str, Any]:
    """The spec's fields by their own names, without the nesting."""
    plain = to_plain(spec)
    return {"trial_id": spec.trial_id, "seed": spec.seed, **plain["model"], **plain["train"]}


def _params(values: dict[str, Any]) -> list[Param]:
    return [Param(name, str(value)) for name, value in values.items()]


def _metrics(result: TrialResult) -> list[Metric]:
    """A handful of scalars per evaluation, and the outcome at the best step."""
    now = int(time.time() * 1000)
    rows = [(name, value, look.step) for look in result.history for name, value in _of_evaluation(look).items()]
    rows += [(name, value, result.best_step) for name, value in _outcome(result).items()]
    return [Metric(name, float(value), now, step) for name, value, step in rows if value is not None]


def _of_evaluation(look: Evaluation) -> dict[str, float | None]:
    return {"train_loss": look.train_loss, **_of(look.valid, "valid_"), **_of(look.collapse, "")}


def _outcome(result: TrialResult) -> dict[str, float | None]:
    sizes = ("embed_dim", "table_params", "dense_params", "flops_per_sample")
    costs = ("samples_per_second", "seconds", "peak_memory_bytes")
    return {**_of(result.test, "test_"), **{name: getattr(result, name) for name in sizes + costs}}


def _of(record: Metrics | CollapseSummary, prefix: str) -> dict[str, float | None]:
    return {prefix + field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
