"""The training loop: one trial from its spec to its result, in plain torch; it knows neither Ray nor MLflow."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from recscale.data.reader import Dataset
from recscale.records import Evaluation, TrialSpec
from recscale.training.checkpoints import Checkpoints
from recscale.training.memory import MemoryPeak
from recscale.training.parallel import ONE, Strategy
from recscale.training.run import TrainingRun
from recscale.training.trained import TrainedTrial


@contextmanager
def flushed_subnormals() -> Iterator[None]:
    """Takes subnormal numbers for 0 on this thread: a CPU multiplies them far more slowly.

    Moments of rows that are rarely met decay into them.
    """
    before = float(torch.tensor(2.0**-140) * 2) == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@flushed_subnormals()
def train(
    spec: TrialSpec,
    dataset: Dataset,
    device: torch.device,
    checkpoints: Checkpoints,
    on_evaluation: Callable[[Evaluation], None],
    strategy: Strategy = ONE,
) -> TrainedTrial:
    """Trains one trial to its end, from its newest checkpoint where there is one.

    The same spec on the same data, CPU and number of threads gives the same bits, interrupted or not. Raises TrialError
    where the loss is not finite, ConfigError and DataError where spec and data do not fit. With a strategy of several
    workers, each of them calls this and each gets the whole result; checkpoints are each worker's own.
    """
    peak = MemoryPeak(device)
    run = TrainingRun(spec, dataset, device, strategy)
    state = checkpoints.load()
    if state is None:
        on_evaluation(run.evaluate())
    else:
        run.restore(state)
    while not run.finished:
        run.train_until_evaluation()
        on_evaluation(run.evaluate())
        checkpoints.save(run.state())
    return run.conclude(peak)
