"""One trial, or a stack of seeds, from its spec to its folder in the store, whoever schedules it."""

import traceback
from collections.abc import Callable, Sequence

import torch

from recscale.data.reader import Dataset
from recscale.records import Evaluation, TrialResult, TrialSpec
from recscale.storage.location import location
from recscale.study.store import TrialStatus, TrialStore
from recscale.training.checkpoints import Checkpoints, checkpoints_in
from recscale.training.loop import train
from recscale.training.parallel import ONE, Strategy
from recscale.training.stacked_loop import train_stacked
from recscale.training.trained import TrainedTrial


def run_trial(
    spec: TrialSpec,
    dataset_path: str,
    storage: str,
    checkpoints: Checkpoints,
    device: torch.device,
    on_evaluation: Callable[[Evaluation], None] = lambda evaluation: None,
    strategy: Strategy = ONE,
) -> TrialResult:
    """Trains `spec`, resuming from its newest checkpoint, and writes its folder, result.json last.

    Several workers train it by a strategy of theirs; the first of them writes.

    Raises what training raises: TrialError, ConfigError or DataError; the folder then holds no result.
    """
    store = TrialStore(location(storage))
    if strategy.writes_results:
        store.write_spec(spec)
    trained = train(spec, Dataset.open(dataset_path), device, checkpoints, on_evaluation, strategy)
    if strategy.writes_results:
        store.write_finished(trained)
    return trained.result


def run_stacked(specs: Sequence[TrialSpec], dataset_path: str, storage: str, device: torch.device) -> dict[str, str]:
    """Trains those of the specs, alike but for the seed, that have no result, as `run_trial` does each.

    Checkpoints are in each trial's folder. The tracebacks of those that failed, by id; raises what all failed by.
    """
    store = TrialStore(location(storage))
    standing = store.statuses(spec.trial_id for spec in specs)
    todo = [spec for spec in specs if standing[spec.trial_id] is not TrialStatus.FINISHED]
    failed: dict[str, str] = {}

    def checkpoints(spec: TrialSpec) -> Checkpoints:
        return checkpoints_in(store.checkpoint_folder(spec.trial_id))

    def ended(spec: TrialSpec, ending: TrainedTrial | Exception) -> None:
        if isinstance(ending, Exception):
            failed[spec.trial_id] = "".join(traceback.format_exception(ending))
        else:
            store.write_finished(ending)

    if todo:
        for spec in todo:
            store.write_spec(spec)
        train_stacked(todo, Dataset.open(dataset_path), device, checkpoints, ended)
    return failed
