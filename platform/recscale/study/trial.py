"""One trial from its spec to its folder in the store, whoever schedules it."""

from collections.abc import Callable

import torch

from recscale.data.reader import Dataset
from recscale.records import Evaluation, TrialResult, TrialSpec
from recscale.storage.location import location
from recscale.study.store import TrialStore
from recscale.training.checkpoints import Checkpoints
from recscale.training.loop import train
from recscale.training.parallel import ONE, Strategy


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
