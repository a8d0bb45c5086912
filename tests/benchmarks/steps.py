"""Training steps at the Criteo shape: ours against the baseline, and against what the machine's ceilings allow."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import torch

from recscale.data.reader import Batch, Dataset, Split
from recscale.models.accounting import account
from recscale.records import ModelSpec, Precision, TableOptimizer, TrainSpec, TrialSpec, Variant
from recscale.training.metrics import roc_auc
from recscale.training.run import TrainingRun
from tests.benchmarks.baseline import BaselineModel, BaselineTraining
from tests.benchmarks.measure import Row, Side, alternate, compared, measured

BATCH, STEPS, AUC_STEPS = 2048, 8, 64
WARM = 3
"""Steps before the timed ones: after the other side's turn a process finds its caches cold and the cores asleep."""
EPOCH_ROWS = 1_000_000
TARGETS = {"dnn": 6.0, "finalmlp": 4.0, "ipnn": 12.0, "nfwfm": 20.0, "xdeepfm": 4.0, "dcnv2": 1.6}
"""Asked-for ratios to the baseline with the default optimizer."""
DEFAULT, DENSE = TrainSpec(batch_size=BATCH), TrainSpec(batch_size=BATCH, table_optimizer=TableOptimizer.ADAM)


def measure(folder: Path, repeats: int, gflops: float, families: tuple[str, ...] = tuple(TARGETS)) -> Iterator[Row]:
    """Every family with both optimizers; `gflops` is the measured ceiling."""
    for family in families:
        model = model_of(family)
        for label, train, least in (("deferred_adam", DEFAULT, TARGETS[family]), ("adam", DENSE, 1.5)):
            ours, baseline = alternate(
                Side.ours(our_steps, folder, model, train), Side.baseline(baseline_steps, folder, model), repeats
            )
            note = f"{_share(folder, model, train, median(ours), gflops)}; {_quality(folder, model, train)}"
            yield compared(f"step {family} {label}", _ms(ours), _ms(baseline), "ms", f">= {least:g}x", note)


def measure_ours(folder: Path, repeats: int) -> Iterator[Row]:
    """Ours against ours: sets against a single table, bf16 against fp32, measuring collapse against training."""
    yield _sets(folder, repeats, "dnn")
    yield _sets(folder, repeats, "dcnv2")
    yield _bf16(folder, repeats)
    yield _collapse(folder, repeats, model_of("dnn"))
    yield _collapse(folder, repeats, model_of("dnn", 10.0, 10))


def model_of(family: str, scale: float = 1.0, num_sets: int = 1) -> ModelSpec:
    """The family at its base dimension, as the paper's release has it."""
    base_dim = 50 if family == "nfwfm" else 10
    return ModelSpec(family, scale=scale, num_sets=num_sets, base_dim=base_dim, variant=Variant.PAPER)


def our_run(folder: Path, model: ModelSpec, train: TrainSpec) -> TrainingRun:
    """A trial before its first step."""
    dataset = Dataset.open(folder)
    spec = TrialSpec(dataset.manifest.fingerprint, model, train, seed=0)
    return TrainingRun(spec, dataset, torch.device("cpu"))


def our_steps(folder: Path, model: ModelSpec, train: TrainSpec) -> Callable[[], float]:
    """Seconds per step of ours, the loader left out."""
    return timed_steps(our_run(folder, model, train))


def timed_steps(run: TrainingRun) -> Callable[[], float]:
    """Seconds per step of a trial, the loader left out."""
    batches = cycle(list(islice(run.splits["train"].epoch(BATCH, 0, 0), 8)))
    run.model.train()

    def steps() -> float:
        for batch in islice(batches, WARM):
            run._optimize(batch)
        chosen = list(islice(batches, STEPS))
        started = time.perf_counter()
        for batch in chosen:
            run._optimize(batch)
        return (time.perf_counter() - started) / STEPS

    return steps


def baseline_steps(folder: Path, model: ModelSpec) -> Callable[[], float]:
    """Seconds per step of the baseline, the loader left out."""
    dataset = Dataset.open(folder)
    training = baseline_training(dataset, model)
    batches = cycle([(b.ids_BN.long(), b.label_B) for b in islice(dataset.split("train").epoch(BATCH, 0, 0), 8)])

    def steps() -> float:
        for ids_BN, label_B in islice(batches, WARM):
            training.step(ids_BN, label_B)
        chosen = list(islice(batches, STEPS))
        started = time.perf_counter()
        for ids_BN, label_B in chosen:
            training.step(ids_BN, label_B)
        return (time.perf_counter() - started) / STEPS

    return steps


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


def _quality(folder: Path, model: ModelSpec, train: TrainSpec) -> str:
    """Test AUC of both after the same steps over the same rows."""
    run = our_run(folder, model, train)
    run.model.train()
    for batch in _first_batches(run.splits["train"]):
        run._optimize(batch)
    run.settle()
    ours = roc_auc(*run._predict("test"))
    return f"test AUC after {AUC_STEPS} steps {ours:.4f}, baseline {_baseline_auc(folder, model):.4f}"


@cache
def _baseline_auc(folder: Path, model: ModelSpec) -> float:
    dataset = Dataset.open(folder)
    training = baseline_training(dataset, model)
    for batch in _first_batches(dataset.split("train")):
        training.step(batch.ids_BN.long(), batch.label_B)
    training.model.eval()
    with torch.inference_mode():
        parts = [(training.model(b.ids_BN.long()), b.label_B) for b in dataset.split("test").in_order(BATCH)]
    return roc_auc(torch.cat([logit_B for logit_B, _ in parts]), torch.cat([label_B for _, label_B in parts]))


def _first_batches(split: Split) -> Iterator[Batch]:
    return islice(split.epoch(BATCH, 0, 0), AUC_STEPS)


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


def _bf16(folder: Path, repeats: int) -> Row:
    model, half = model_of("dcnv2"), replace(DEFAULT, precision=Precision.BF16)
    ours, full = alternate(
        Side.ours(our_steps, folder, model, half), Side.ours(our_steps, folder, model, DEFAULT), repeats
    )
    note = f"baseline is ours in fp32; {_quality(folder, model, half)}"
    return compared("bf16 against fp32, dcnv2", _ms(ours), _ms(full), "ms", ">= 1.5x", note)


def _collapse(folder: Path, repeats: int, model: ModelSpec) -> Row:
    """What one measurement of every table costs, as a share of the training between two of them."""
    run = our_run(folder, model, DEFAULT)
    steps = timed_steps(run)
    shares = []
    for _ in range(repeats):
        run.settle()
        started = time.perf_counter()
        run._measure()
        shares.append(100 * (time.perf_counter() - started) / (steps() * EPOCH_ROWS / BATCH))
    note = f"at one evaluation per epoch of {EPOCH_ROWS:,} rows; Criteo's train split has 37 million"
    name = f"collapse logging, {model.family}, {model.num_sets} x {model.embed_dim}"
    return measured(name, shares, "% of training", "< 2 %", note)
