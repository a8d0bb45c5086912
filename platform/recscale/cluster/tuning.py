"""One cell's settings searched by Ray Tune: Optuna proposes, ASHA stops early, the ledger remembers."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.samplers import TPESampler
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from recscale.cluster.ray_storage import storage_of
from recscale.cluster.shares import Share
from recscale.data.reader import Dataset
from recscale.errors import TrialError
from recscale.records import Evaluation, TrainSpec, TrialSpec, from_json
from recscale.storage.location import location, remove_tree
from recscale.study.ledger import Ending, Ledger, Sample
from recscale.study.progress import Progress
from recscale.study.search import LOGARITHMIC, SearchOptions
from recscale.study.tuned import SearchPoint
from recscale.training.checkpoints import Checkpoints, checkpoints_in
from recscale.training.loop import train

optuna.logging.set_verbosity(optuna.logging.WARNING)  # each cell is a study to Optuna; that is no news to a user

VALID_AUC = "valid_auc"
"""What is maximised: the best valid AUC of a sample's evaluations so far."""
EVALUATIONS = "evaluations"
"""What samples are compared at equal numbers of."""
RANDOM_SAMPLES = 5
"""Samples of a cell that are drawn at random before Optuna's estimator (TPE) has enough to learn from."""
DIVERGED_AUC = 0.0
"""What Optuna is told of a sample whose loss stopped being finite: worse than anything."""

TUNE_FOLDER = "tune"
"""Where Tune keeps what is its own while it searches a cell; gone afterwards, for the ledger is what counts."""


@dataclass(frozen=True)
class SampleJob:
    """What all samples of a cell have in common."""

    spec: TrialSpec
    """The cell's trial, its settings untuned."""
    first: SearchPoint
    """Value of every setting that is not searched."""
    dataset_path: str
    """The dataset's folder, absolute, or its URI; the same on every machine."""
    folder: str
    """Where running samples keep their checkpoints: absolute or a URI, the same on every machine."""
    share: Share
    """What a sample holds while it runs."""

    def spec_of(self, values: dict[str, float]) -> TrialSpec:
        """The trial of a sample with these searched values."""
        return replace(self.first, **values).applied_to(self.spec)


def train_sample(values: dict[str, float], job: SampleJob) -> None:
    """Trains one sample in a Tune worker, from its checkpoint where it was cut off, reporting every evaluation.

    Where the scheduler stops it, Ray ends this thread inside the report. The last evaluation that there can be leaves
    nothing to stop, and is reported with the end.
    """
    torch.set_num_threads(job.share.threads)
    spec = job.spec_of(values)
    checkpoints = checkpoints_in(location(job.folder) / spec.trial_id)
    looks, most = _looks_before(checkpoints), most_evaluations(spec.train)

    def report(look: Evaluation) -> None:
        if not look.step:
            return
        looks.append(look)
        if len(looks) < most:
            tune.report(_metrics(looks, Ending.RUNNING))

    device = torch.device("cuda" if job.share.gpus else "cpu")
    try:
        train(spec, Dataset.open(job.dataset_path), device, checkpoints, report)
    except TrialError as error:
        tune.report(_metrics(looks, Ending.DIVERGED) | {VALID_AUC: DIVERGED_AUC, "error": str(error)})
    else:
        tune.report(_metrics(looks, Ending.FINISHED))


def most_evaluations(train: TrainSpec) -> int:
    """Evaluations of a sample that nothing stops early."""
    return train.max_epochs * train.evaluations_per_epoch


def _looks_before(checkpoints: Checkpoints) -> list[Evaluation]:
    """Evaluations of the attempt that was cut off, the initialised model's left out."""
    state = checkpoints.load()
    if state is None:
        return []
    history = from_json(tuple[Evaluation, ...], state["history"], "the checkpoint's history")
    return [look for look in history if look.step]


def _metrics(looks: list[Evaluation], ending: Ending) -> dict[str, Any]:
    return {
        VALID_AUC: max((look.valid.auc for look in looks), default=DIVERGED_AUC),
        EVALUATIONS: len(looks),
        "epochs": looks[-1].epoch if looks else 0.0,
        "ending": ending.value,
        "error": None,
    }


@dataclass(frozen=True)
class SampleRuns:
    """How a cell's samples are run."""

    dataset_path: str
    """The dataset's folder, absolute, or its URI; the same on every machine."""
    share: Share
    """What each sample holds."""
    slots: int
    """Samples that run at the same time."""
    max_retries: int
    """Restarts of a sample whose process died."""


class Recorder(tune.Callback):
    """Writes what a cell's samples come to into its ledger, in the process that drives the search."""

    def __init__(self, ledger: Ledger, progress: Progress) -> None:
        self._ledger, self._progress = ledger, progress
        self._samples: dict[str, Sample] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore of its own, which the ledger replaces."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A sample begins, or begins again after its process died."""
        self._progress.started(self._ledger.sample_id(self._sample(trials, trial).number))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A sample came to its end, or the scheduler stopped it: then its last report says that it still ran."""
        told = trial.last_result
        ending = Ending(told["ending"])
        self._end(
            self._sample(trials, trial),
            ending=Ending.STOPPED if ending is Ending.RUNNING else ending,
            valid_auc=None if ending is Ending.DIVERGED else told[VALID_AUC],
            epochs=told["epochs"],
            seconds=told["time_total_s"],
            error=told["error"],
        )

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A sample's process died too often, perhaps before it began, or something unforeseen was raised."""
        # Trial.get_error looks into the storage, to which Tune copies this file only later.
        error = Path(trial.error_file).read_text() if trial.error_file else "it died before Ray could say why"
        self._end(self._sample(trials, trial), ending=Ending.FAILED, error=error.strip())

    def _sample(self, trials: list[Trial], trial: Trial) -> Sample:
        """The sample of one of Tune's trials; samples are numbered as Optuna proposed them, whichever begins first."""
        for each in trials:
            if each.trial_id not in self._samples:
                point = replace(self._ledger.first_point(), **each.config)
                self._samples[each.trial_id] = self._ledger.start(point)
        return self._samples[trial.trial_id]

    def _end(self, running: Sample, **outcome: Any) -> None:
        sample = replace(running, **outcome)
        self._ledger.write(sample)
        failed = sample.error if sample.ending is Ending.FAILED else None
        self._progress.ended(self._ledger.sample_id(sample.number), failed)


def search_cell(ledger: Ledger, runs: SampleRuns, progress: Progress) -> None:
    """Runs the samples that a cell lacks; those with an outcome are only told to Optuna."""
    cell = ledger.cell
    job = SampleJob(cell.spec, ledger.first_point(), runs.dataset_path, str(ledger.folder), runs.share)
    missing = len(ledger.missing())
    if not missing:
        return
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(train_sample, job=job), runs.share.resources),
        tune_config=tune.TuneConfig(
            metric=VALID_AUC,
            mode="max",
            search_alg=_searcher(ledger),
            scheduler=_scheduler(cell.options, cell.spec.train),
            num_samples=missing,
            max_concurrent_trials=runs.slots,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=TUNE_FOLDER,
            **storage_of(ledger.folder),
            callbacks=[Recorder(ledger, progress)],
            failure_config=tune.FailureConfig(max_failures=runs.max_retries),
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    finally:
        remove_tree(ledger.folder / TUNE_FOLDER)


def _searcher(ledger: Ledger) -> OptunaSearch:
    """Optuna with everything the ledger knows: outcomes as learned, cut-off samples as the first to run.

    Its seed moves on with the samples that are known, or a search that goes on would draw the same ones again.
    """
    options, samples = ledger.cell.options, ledger.samples()
    space = {
        name: (tune.loguniform if name in LOGARITHMIC else tune.uniform)(low, high)
        for name, (low, high) in options.ranges.items()
        if low < high
    }
    searcher = OptunaSearch(
        OptunaSearch.convert_search_space(space),
        metric=VALID_AUC,
        mode="max",
        points_to_evaluate=[_searched(point, space) for point in ledger.pending()],
        sampler=TPESampler(seed=options.search_seed + len(samples), n_startup_trials=RANDOM_SAMPLES),
    )
    for sample in ledger.done():
        value = DIVERGED_AUC if sample.valid_auc is None else sample.valid_auc
        searcher.add_evaluated_point(_searched(sample.point, space), value)
    return searcher


def _searched(point: SearchPoint, space: dict[str, Any]) -> dict[str, float]:
    return {name: getattr(point, name) for name in space}


def _scheduler(options: SearchOptions, train: TrainSpec) -> ASHAScheduler:
    most = most_evaluations(train)
    return ASHAScheduler(
        time_attr=EVALUATIONS,
        max_t=most,
        grace_period=min(options.grace_evaluations, most),
        reduction_factor=options.reduction_factor,
        stop_last_trials=False,
    )
