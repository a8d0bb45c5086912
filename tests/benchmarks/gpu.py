"""`make bench-gpu`: the engine's part on an accelerator; it needs torch, numpy and pyarrow only, no Ray.

    PYTHONPATH=platform python -m tests.benchmarks.gpu   # needs an NVIDIA GPU; writes results/<its name>.json
    ... --device cpu --rows 8192 --families dnn          # the same path, on any machine

The split is resident on the device; a step is gather, interaction, head and table update. `eager` runs it as a trial
does, `graph` replays it from one CUDA graph, which is possible because no shape depends on the data; `seeds stacked`
are several trials with one step, and the rows of all.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import chain, islice, repeat
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from recscale.data.manifest import FieldInfo, Manifest, ShardInfo, SourceInfo, SplitInfo, sealed
from recscale.data.reader import Dataset
from recscale.data.splits import Batch, Split
from recscale.data.writer import shard_of
from recscale.models.accounting import account
from recscale.records import ModelSpec, Precision, TrainSpec, TrialSpec, Variant
from recscale.training.metrics import roc_auc
from recscale.training.run import RunData, TrainingRun
from recscale.training.stack import SeedStack
from tests.benchmarks.baseline import FAMILIES, BaselineModel, BaselineTraining, loader
from tests.benchmarks.ceilings import copy_gbs, product_gflops, seconds, wait
from tests.benchmarks.measure import Row, measured
from tests.benchmarks.world import labels, vocabulary_sizes, zipf_ids

BATCH, SEEDS = 2048, 3
CRITEO_TRAIN_ROWS, PAPER_EPOCHS = 33_000_000, 4
"""Rows of an epoch of the paper, and epochs until patience 3 ends a training whose first one was the best."""
RESULTS = Path(__file__).parent / "results"


class MemoryDataset(Dataset):
    """A dataset that lies in memory: no file, no manifest to read."""

    def counts(self) -> list[np.ndarray]:
        """Per field, how often each id occurs in the train split."""
        ids_RN = torch.cat([batch.ids_BN for batch in self.split("train").in_order(65_536)]).numpy()
        sizes = self.manifest.vocabulary_sizes
        return [np.bincount(ids_RN[:, index], minlength=size) for index, size in enumerate(sizes)]


def memory_dataset(rows: int, sizes: tuple[int, ...]) -> MemoryDataset:
    """Zipf ids and labels of the Criteo shape."""
    splits, shards = [], []
    for seed, (name, count) in enumerate((("train", rows), ("valid", 16_384), ("test", 16_384))):
        ids_RN = zipf_ids(sizes, count, seed)
        label_R = labels(ids_RN, sizes)
        splits.append(SplitInfo(name, (ShardInfo(f"{name}/00000.arrow", count, int(label_R.sum()), ""),)))
        shards.append((shard_of(ids_RN, label_R),))
    fields = tuple(FieldInfo(f"field_{i}", "categorical", size, min_count=1) for i, size in enumerate(sizes))
    source = SourceInfo("synthetic", (), rows, rejected_rows=0, duplicate_rows=0)
    manifest = sealed(Manifest("zipf", fields, tuple(splits), source, (), None))
    return MemoryDataset(Path("memory"), Path("memory"), manifest, tuple(shards))


def main() -> None:
    """Measures and writes what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=50, help="steps of one repeat")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("error: no GPU is at hand; try the path with --device cpu --rows 8192, which measures nothing of one")
    rows = []
    for row in measure(device, options.rows, tuple(options.families), options.repeats, options.steps):
        print(
            f"{row.name:45} {row.ours:12.4g} {row.unit} [{row.spread[0]:.4g}, {row.spread[1]:.4g}] {row.note}",
            flush=True,
        )
        rows.append(asdict(row))
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device).replace(" ", "-").lower()
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps({"torch": torch.__version__, "rows": rows}, indent=1) + "\n")


def measure(device: torch.device, rows: int, families: tuple[str, ...], repeats: int, steps: int) -> Iterator[Row]:
    """Ceilings, every family at K = 10 and in 10 sets of it, the baseline's loop, AUC, and what Table 1 would take."""
    ceilings = {precision: product_gflops(device, precision) for precision in _precisions(device)}
    copy = copy_gbs(device)
    for precision, gflops in ceilings.items():
        yield measured(f"ceiling matrix product {precision.value}", [gflops], "GFLOP/s")
    yield measured("ceiling copy", [copy], "GB/s")
    dataset = memory_dataset(rows, vocabulary_sizes())
    epoch: dict[tuple[str, int], float] = {}
    for family in families:
        for scale, sets in ((1.0, 1), (10.0, 10), (10.0, 1)):
            model = _model(family, scale, sets)
            for precision in ceilings if (scale, sets) == (1.0, 1) else [Precision.FP32]:
                for how, rates in _rates(dataset, device, model, precision, repeats, steps):
                    rate = median(rates)
                    key = (family, int(scale) * (1 if sets == 1 else -1))
                    epoch[key] = min(epoch.get(key, float("inf")), CRITEO_TRAIN_ROWS / rate)
                    name = f"{family} x{scale:g} M={sets} {precision.value} {how}"
                    note = _shares(dataset, model, rate, ceilings[precision], copy)
                    yield measured(name, rates, "rows/s", note=note)
        rates = _stacked_rates(dataset, device, _model(family, 1.0, 1), repeats, steps)
        yield measured(f"{family} x1 M=1 fp32 {SEEDS} seeds stacked, eager", rates, "rows/s")
        rates = _baseline_rates(dataset, device, family, repeats)
        yield measured(f"{family} x1 baseline loop with its DataLoader", rates, "rows/s")
    yield _auc(device, repeats)
    yield _table1(epoch)


def _precisions(device: torch.device) -> list[Precision]:
    return [Precision.FP32, Precision.TF32, Precision.BF16] if device.type == "cuda" else [Precision.FP32]


def _model(family: str, scale: float, sets: int) -> ModelSpec:
    base_dim = 50 if family == "nfwfm" else 10
    return ModelSpec(family, scale=scale, num_sets=sets, base_dim=base_dim, variant=Variant.PAPER)


def _rates(
    dataset: MemoryDataset, device: torch.device, model: ModelSpec, precision: Precision, repeats: int, steps: int
) -> Iterator[tuple[str, list[float]]]:
    """Rows per second of training from the resident split, by each way of running a step that the device has."""
    train = TrainSpec(batch_size=BATCH, precision=precision)
    ways: dict[str, Callable[[TrainingRun, Batch], Callable[[Batch], None]]] = {"eager": lambda run, _: run._optimize}
    if device.type == "cuda":
        ways["graph"] = graphed
    for how, way in ways.items():
        run = TrainingRun(TrialSpec(dataset.manifest.fingerprint, model, train, seed=0), dataset, device)
        run.model.train()
        batches = _endless(run.splits["train"])
        step = way(run, next(batches))
        _timed(device, step, batches, steps)
        yield how, [_timed(device, step, batches, steps) for _ in range(repeats)]
        del run, step, batches


def _stacked_rates(
    dataset: MemoryDataset, device: torch.device, model: ModelSpec, repeats: int, steps: int
) -> list[float]:
    """Rows per second of all of several seeds that have one step."""
    data = RunData.load(dataset, dataset.split("train").rows, device)
    train = TrainSpec(batch_size=BATCH)
    specs = (TrialSpec(dataset.manifest.fingerprint, model, train, seed) for seed in range(SEEDS))
    runs = [TrainingRun(spec, dataset, device, data=data) for spec in specs]
    stack = SeedStack(runs)
    batches = zip(*(_endless(data.splits["train"], run.spec.seed) for run in runs), strict=True)
    _timed(device, stack.optimize, batches, steps)
    return [SEEDS * _timed(device, stack.optimize, batches, steps) for _ in range(repeats)]


def graphed(run: TrainingRun, batch: Batch) -> Callable[[Batch], None]:
    """One step as a CUDA graph over buffers that every batch is copied into."""
    ids_BN, label_B = batch.ids_BN.clone(), batch.label_B.clone()
    for optimizer in run.optimizers:
        for group in optimizer.param_groups:
            group["capturable"] = True
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run._optimize(Batch(ids_BN, label_B))
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run._optimize(Batch(ids_BN, label_B))

    def step(batch: Batch) -> None:
        ids_BN.copy_(batch.ids_BN)
        label_B.copy_(batch.label_B)
        graph.replay()

    return step


def _endless(split: Split, seed: int = 0) -> Iterator[Batch]:
    """Whole batches, epoch after epoch."""
    epochs = (split.epoch(BATCH, seed, epoch) for epoch, _ in enumerate(repeat(None)))
    return (batch for batch in chain.from_iterable(epochs) if len(batch.label_B) == BATCH)


def _timed(device: torch.device, step: Callable[[Any], object], batches: Iterator[Any], steps: int) -> float:
    """Rows per second, the gather of batches included; of several batches a step, of each."""
    wait(device)
    started = time.perf_counter()
    for batch in islice(batches, steps):
        step(batch)
    wait(device)
    return steps * BATCH / (time.perf_counter() - started)


def _baseline_rates(dataset: MemoryDataset, device: torch.device, family: str, repeats: int) -> list[float]:
    """Rows per second of plain PyTorch with a DataLoader over rows, copies to the device included."""
    split, sizes = dataset.split("train"), dataset.manifest.vocabulary_sizes
    ids_RN = torch.cat([batch.ids_BN for batch in split.in_order(65_536)]).numpy()
    batches = loader(ids_RN, split.labels(), BATCH, shuffle=True)
    model = _model(family, 1.0, 1)
    training = BaselineTraining(BaselineModel(family, sizes, 1, model.embed_dim, model.dropout).to(device))

    def rate() -> float:
        started, count = time.perf_counter(), 0
        for ids_BN, label_B in islice(batches, 10):
            training.step(ids_BN.long().to(device), label_B.to(device))
            count += len(label_B)
        return count / (time.perf_counter() - started)

    rate()
    return [rate() for _ in range(min(repeats, 3))]


def _shares(dataset: MemoryDataset, model: ModelSpec, rate: float, gflops: float, copy: float) -> str:
    cost = account(model, TrainSpec(batch_size=BATCH), dataset.manifest.vocabulary_sizes)
    products, traffic = 3e-9 * cost.flops_per_sample * rate, 1e-9 * cost.bytes_per_step * rate / BATCH
    return (
        f"{products:.0f} GFLOP/s = {products / gflops:.0%} of the product, {traffic:.0f} GB/s counted = "
        f"{traffic / copy:.0%} of the copy; {CRITEO_TRAIN_ROWS / rate:.0f} s per epoch of 33M rows"
    )


def _auc(device: torch.device, repeats: int) -> Row:
    count = 5_000_000 if device.type == "cuda" else 50_000
    score_B = torch.randn(count, device=device)
    label_B = (torch.rand(count, device=device) < 0.25).float()
    times = [seconds(lambda: roc_auc(score_B, label_B), device) for _ in range(repeats)]
    return measured("exact AUC on the device", times, "s", note=f"{count:,} predictions")


def _table1(epoch: dict[tuple[str, int], float]) -> Row:
    """Scales 1, 2, 3, 4, 10, both arms, three seeds: scales between are taken on the line from 1 to 10."""
    total = 0.0
    for family in {family for family, _ in epoch}:
        base = epoch[family, 1]
        for key in (10, -10):
            slope = (epoch[family, key] - base) / 9
            total += sum(base + slope * (scale - 1) for scale in (2, 3, 4, 10))
        total += base
    hours = total * 3 * PAPER_EPOCHS / 3600
    note = f"{PAPER_EPOCHS} epochs of 33M rows a trial, three seeds, the measured families"
    return measured("forecast of the Table 1 grid", [hours], "GPU hours", note=note)


if __name__ == "__main__":
    main()
