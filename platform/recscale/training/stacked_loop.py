"""The training loop of trials that differ in their seed: each has its evaluations and its end, all have one step."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from recscale.data.reader import Dataset
from recscale.records import TrialSpec
from recscale.training.checkpoints import Checkpoints
from recscale.training.loop import flushed_subnormals
from recscale.training.memory import MemoryPeak
from recscale.training.run import RunData, TrainingRun
from recscale.training.schedule import check_trial, train_rows
from recscale.training.stack import SeedStack
from recscale.training.trained import TrainedTrial

Ended = Callable[[TrialSpec, TrainedTrial | Exception], None]
"""Told once of each trial what it leaves behind, or what it alone failed by."""


@flushed_subnormals()
def train_stacked(
    specs: Sequence[TrialSpec],
    dataset: Dataset,
    device: torch.device,
    checkpoints: Callable[[TrialSpec], Checkpoints],
    ended: Ended,
) -> None:
    """Trains trials of one spec but for the seed to their ends, each from its newest checkpoint where there is one.

    The results are those of `train`, but for rounding and other draws of dropout; the same trials on the same data, CPU
    and number of threads give the same bits. Time is counted in equal parts, peak memory is that of all. Raises what is
    no single trial's failure.
    """
    check_trial(specs[0], dataset, device)
    peak = MemoryPeak(device)
    data = RunData.load(dataset, train_rows(dataset, specs[0].train), device)
    live: dict[TrialSpec, TrainingRun] = {}

    @contextmanager
    def apart(spec: TrialSpec) -> Iterator[None]:
        """What is raised inside ends this trial, and no other; one that has reached its end is concluded."""
        try:
            yield
            if live[spec].finished:
                ended(spec, live.pop(spec).conclude(peak))
        except Exception as error:
            live.pop(spec, None)
            ended(spec, error)

    for spec in specs:
        with apart(spec):
            live[spec] = run = TrainingRun(spec, dataset, device, data=data)
            state = checkpoints(spec).load()
            if state is None:
                run.evaluate()
            else:
                run.restore(state)
    stack: SeedStack | None = None
    while live:
        step = min(run.step for run in live.values())
        behind = [run for run in live.values() if run.step == step]
        if stack is None or stack.runs != behind:
            stack = None  # its memory is for the next
            stack = SeedStack(behind)
        failed = stack.train_until_evaluation()
        for run in behind:
            with apart(run.spec):
                if run in failed:
                    raise failed[run]
                run.evaluate()
                checkpoints(run.spec).save(run.state())
