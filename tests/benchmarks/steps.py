"""Training steps at the Criteo shape: ours against the baseline, and against what the machine's ceilings allow."""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from enum import StrEnum
from itertools import chain, count, islice
from pathlib import Path
from statistics import median
from typing import Generic, TypeVar

import torch
from torch import Tensor

from recscale.data.reader import Dataset
from recscale.data.splits import Batch, Split
from recscale.models.accounting import account
from recscale.records import ModelSpec, Precision, TableOptimizer, TrainSpec, TrialSpec, Variant
from recscale.study.machine import NO_UNITS_SLOWDOWN
from recscale.study.rates import measure_machine
from recscale.training.metrics import roc_auc
from recscale.training.run import TrainingRun
from tests.benchmarks.baseline import BaselineModel, BaselineTraining
from tests.benchmarks.measure import Row, Side, alternate, compared, measured, rounds

BATCH, BATCHES, STEPS = 2048, 64, 8
"""Rows of a batch, batches of an epoch, and steps that are timed at once."""
WARM = 3
"""Steps before the timed ones: after the other side's turn a process finds its caches cold and the cores asleep."""
EPOCH_ROWS = 1_000_000
TARGETS = {"dnn": 6.0, "finalmlp": 4.0, "ipnn": 12.0, "nfwfm": 20.0, "xdeepfm": 4.0, "dcnv2": 1.6}
"""Asked-for ratios to the baseline with the default optimizer."""
DEFAULT, DENSE = TrainSpec(batch_size=BATCH), TrainSpec(batch_size=BATCH, table_optimizer=TableOptimizer.ADAM)


Taken = TypeVar("Taken")


def measure(folder: Path, repeats: int, gflops: float, families: tuple[str, ...] = tuple(TARGETS)) -> Iterator[Row]:
    """Every family with both optimizers beside one baseline; `gflops` is the measured ceiling."""
    for family in families:
        model = model_of(family)
        optimizers = (("deferred_adam", DEFAULT, TARGETS[family]), ("adam", DENSE, 1.5))
        sides = [Side.baseline(baseline_steps, folder, model)]
        sides += [Side.ours(our_steps, folder, model, train) for _, train, _ in optimizers]
        (baseline, baseline_auc), *ours = _measured(sides, repeats)
        for (label, train, least), (seconds, auc) in zip(optimizers, ours, strict=True):
            steps = (1 + repeats) * (WARM + STEPS)
            quality = f"test AUC after {steps} steps {auc:.4f}, baseline {baseline_auc:.4f}"
            note = f"{_share(folder, model, train, median(seconds), gflops)}; {quality}"
            yield compared(f"step {family} {label}", _ms(seconds), _ms(baseline), "ms", f">= {least:g}x", note)


def measure_ours(folder: Path, repeats: int) -> Iterator[Row]:
    """Ours against ours: sets against a single table, bf16 against fp32, measuring collapse against training."""
    yield _sets(folder, repeats, "dnn")
    yield _sets(folder, repeats, "dcnv2")
    yield from _bf16(folder, repeats)
    yield _collapse(folder, repeats, model_of("dnn"))
    yield _collapse(folder, repeats, model_of("dnn", 10.0, 10))


def model_of(family: str, scale: float = 1.0, num_sets: int = 1) -> ModelSpec:
    """The family at its base dimension, as the paper's release has it."""
    base_dim = 50 if family == "nfwfm" else 10
    return ModelSpec(family, scale=scale, num_sets=num_sets, base_dim=base_dim, variant=Variant.PAPER)


def command_line(description: str | None, families: Sequence[str], repeats: int) -> argparse.ArgumentParser:
    """Options of a command that measures steps of families at one size."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=families)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--sets", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=repeats)
    return parser


def our_run(folder: Path, model: ModelSpec, train: TrainSpec) -> TrainingRun:
    """A trial before its first step."""
    dataset = Dataset.open(folder)
    spec = TrialSpec(dataset.manifest.fingerprint, model, train, seed=0)
    return TrainingRun(spec, dataset, torch.device("cpu"))


class Asked(StrEnum):
    """What a side is asked for."""

    SECONDS = "seconds"
    AUC = "auc"


class Steps(Generic[Taken]):
    """A model in training: seconds of its steps, and the test AUC that they have come to."""

    def __init__(self, batches: Iterator[Taken], step: Callable[[Taken], object], auc: Callable[[], float]) -> None:
        self._batches, self._step, self._auc = batches, step, auc

    def __call__(self, asked: Asked = Asked.SECONDS) -> float:
        """Seconds per step of the next batches, the loader left out; or the AUC."""
        return self._seconds() if asked is Asked.SECONDS else self._auc()

    def _seconds(self) -> float:
        for batch in islice(self._batches, WARM):
            self._step(batch)
        chosen = list(islice(self._batches, STEPS))
        started = time.perf_counter()
        for batch in chosen:
            self._step(batch)
        return (time.perf_counter() - started) / STEPS


def _measured(sides: Sequence[Side], repeats: int) -> list[tuple[list[float], float]]:
    """Seconds of every turn of each side, and the AUC after the last."""
    with ExitStack() as stack:
        entered = [stack.enter_context(side) for side in sides]
        times = rounds(entered, repeats)
        return [(own, side(Asked.AUC)) for own, side in zip(times, entered, strict=True)]


def _endless(split: Split) -> Iterator[Batch]:
    """Batches of one epoch after the other."""
    return chain.from_iterable(split.epoch(BATCH, 0, number) for number in count())


def our_steps(folder: Path, model: ModelSpec, train: TrainSpec) -> Steps[Batch]:
    """Steps of ours."""
    return steps_of(our_run(folder, model, train))


def steps_of(run: TrainingRun) -> Steps[Batch]:
    """Steps of a trial."""
    run.model.train()

    def auc() -> float:
        run.settle()
        return roc_auc(*run._predict("test"))

    return Steps(_endless(run.splits["train"]), run._optimize, auc)


def baseline_steps(folder: Path, model: ModelSpec) -> Steps[tuple[Tensor, Tensor]]:
    """Steps of the baseline."""
    dataset = Dataset.open(folder)
    training = baseline_training(dataset, model)

    def step(batch: tuple[Tensor, Tensor]) -> None:
        training.step(*batch)

    def auc() -> float:
        training.model.eval()
        with torch.inference_mode():
            parts = [(training.model(b.ids_BN.long()), b.label_B) for b in dataset.split("test").in_order(BATCH)]
        return roc_auc(torch.cat([logit_B for logit_B, _ in parts]), torch.cat([label_B for _, label_B in parts]))

    return Steps(((b.ids_BN.long(), b.label_B) for b in _endless(dataset.split("train"))), step, auc)


def baseline_training(dataset: Dataset, model: ModelSpec) -> BaselineTraining:
    """The same family and sizes."""
    torch.manual_seed(0)
    sizes = dataset.manifest.vocabulary_sizes
    return BaselineTraining(BaselineModel(model.family, sizes, model.num_sets, model.embed_dim, model.dropout))


def _ms(seconds: list[float]) -> list[float]:
    return [1e3 * each for each in seconds]


def _share(folder: Path, model: ModelSpec, train: TrainSpec, seconds: float, gflops: float) -> str:
    """Matrix products of a step, forward and twice backward, per second."""
    cost = account(model, train, Dataset.open(folder).manifest.vocabulary_sizes)
    rate = 3 * cost.flops_per_sample * BATCH / seconds / 1e9
    return (
        f"{3e-9 * cost.flops_per_sample * BATCH:.1f} GFLOP and {cost.bytes_per_step / 1e6:.0f} MB a step, "
        f"{rate:.0f} GFLOP/s = {rate / gflops:.0%} of the measured matrix product"
    )


def _sets(folder: Path, repeats: int, family: str) -> Row:
    """Seconds per FLOP of four sets against the single table of the same budget."""
    single, multi = model_of(family, 4.0, 1), model_of(family, 4.0, 4)
    sizes = Dataset.open(folder).manifest.vocabulary_sizes
    flops = [account(model, DEFAULT, sizes).flops_per_sample for model in (single, multi)]
    several, one = alternate(
        Side.ours(our_steps, folder, multi, DEFAULT), Side.ours(our_steps, folder, single, DEFAULT), repeats
    )
    fair = [seconds * flops[1] / flops[0] for seconds in one]
    note = f"scale 4: {flops[1]:,} FLOPs a row in 4 sets, {flops[0]:,} in 1; baseline is the single table, per FLOP"
    return compared(f"4 sets against 1, {family}", _ms(several), _ms(fair), "ms", ">= 0.87x (1 / 1.15)", note)


def _bf16(folder: Path, repeats: int) -> Iterator[Row]:
    """Nothing where the CPU has no units for bfloat16: it takes up to fifty times as long there."""
    if measure_machine(torch.get_num_threads(), 0).bf16_slowdown >= NO_UNITS_SLOWDOWN:
        print("bf16 against fp32 is left out: this CPU has no units for bfloat16", flush=True)
        return
    model = model_of("dcnv2")
    sides = [
        Side.ours(our_steps, folder, model, train) for train in (replace(DEFAULT, precision=Precision.BF16), DEFAULT)
    ]
    (half, half_auc), (full, full_auc) = _measured(sides, repeats)
    note = f"baseline is ours in fp32; test AUC {half_auc:.4f}, in fp32 {full_auc:.4f}"
    yield compared("bf16 against fp32, dcnv2", _ms(half), _ms(full), "ms", ">= 1.5x", note)


def _collapse(folder: Path, repeats: int, model: ModelSpec) -> Row:
    """What one measurement of every table costs, as a share of the training between two of them."""
    run = our_run(folder, model, DEFAULT)
    steps = steps_of(run)
    shares = []
    for _ in range(repeats):
        run.settle()
        started = time.perf_counter()
        run._measure()
        shares.append(100 * (time.perf_counter() - started) / (steps() * EPOCH_ROWS / BATCH))
    note = f"at one evaluation per epoch of {EPOCH_ROWS:,} rows; Criteo's train split has 37 million"
    name = f"collapse logging, {model.family}, {model.num_sets} x {model.embed_dim}"
    return measured(name, shares, "% of training", "< 2 %", note)
