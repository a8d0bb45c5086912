"""Step time against the work that a step has: scale, sets, batch and vocabulary, and how two cores are best shared.

    python -m tests.benchmarks.work --picture docs/work.svg

Prints a table per sweep and writes results/<machine>-work.json and a picture of all curves. dnn and dcnv2 at the Criteo
shape unless the sweep changes it; deferred Adam, float32, as many threads as there are cores.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from recscale.data.reader import Dataset
from recscale.models.accounting import account
from recscale.records import ModelSpec, TrainSpec, TrialSpec
from recscale.training.run import TrainingRun
from tests.benchmarks.bench import RESULTS, environment, machine_name
from tests.benchmarks.measure import Side
from tests.benchmarks.world import vocabulary_sizes, zipf_dataset

FAMILIES = ("dnn", "dcnv2")
SCALES = (1, 2, 4, 8, 16, 32)
SETS = (1, 2, 4, 8, 16, 32)
BATCHES = (512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536)
VOCABULARIES = (10_000, 100_000, 1_100_000, 10_000_000, 100_000_000)
LARGEST_DIM = 100_000_000 * 10
"""Entries of a table up to which a vocabulary is measured: 12 GB with both moments."""
ROWS = 131_072


@dataclass(frozen=True)
class Point:
    """One place on a curve."""

    sweep: str
    """scale | sets | batch | vocabulary."""
    family: str
    """Family of the model."""
    x: float
    """What is swept."""
    milliseconds: float
    """Median of a step."""
    spread: tuple[float, float]
    """Least and largest step."""
    rows_per_second: float
    """Rows trained per second."""
    gflops: float
    """Matrix products per second."""
    megabytes: float
    """Bytes touched per step, counted."""


def main() -> None:
    """Every sweep, then the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=7, help="timed steps of a point, after two that warm up")
    parser.add_argument("--picture", type=Path, help="where the curves are drawn")
    options = parser.parse_args()
    points = []
    with tempfile.TemporaryDirectory() as folder:
        for point in sweeps(Path(folder), options.steps):
            print(line(point), flush=True)
            points.append(point)
        shared = list(two_cores(Path(folder) / "1100000"))
    for text in shared:
        print(text)
    RESULTS.mkdir(exist_ok=True)
    known = {"environment": environment(), "points": [asdict(point) for point in points], "two cores": shared}
    (RESULTS / f"{machine_name()}-work.json").write_text(json.dumps(known, indent=1) + "\n")
    if options.picture:
        picture(points).write_image(options.picture)


def sweeps(folder: Path, steps: int) -> Iterator[Point]:
    """Points of all sweeps; each sweep changes one thing."""
    base = _dataset(folder, 1_100_000)
    for family in FAMILIES:
        for scale in SCALES:
            yield measure("scale", scale, base, ModelSpec(family, scale=float(scale)), 2048, steps)
        for sets in SETS:
            yield measure("sets", sets, base, ModelSpec(family, scale=float(sets), num_sets=sets), 2048, steps)
        for batch in BATCHES:
            yield measure("batch", batch, base, ModelSpec(family), batch, steps)
        for ids in VOCABULARIES:
            if ids * 10 <= LARGEST_DIM:
                yield measure("vocabulary", ids, _dataset(folder, ids), ModelSpec(family), 2048, steps)


def measure(sweep: str, x: float, dataset: Dataset, model: ModelSpec, batch: int, steps: int) -> Point:
    """Times whole steps of a trial, the loader left out."""
    train = TrainSpec(batch_size=batch)
    run = TrainingRun(TrialSpec(dataset.manifest.fingerprint, model, train, seed=0), dataset, torch.device("cpu"))
    run.model.train()
    batches = cycle(list(islice(run.splits["train"].epoch(batch, 0, 0), 4)))
    times = []
    for chosen in islice(batches, steps + 2):
        started = time.perf_counter()
        run._optimize(chosen)
        times.append(time.perf_counter() - started)
    timed, cost = times[2:], account(model, train, dataset.manifest.vocabulary_sizes)
    seconds = median(timed)
    return Point(
        sweep=sweep,
        family=model.family,
        x=x,
        milliseconds=1e3 * seconds,
        spread=(1e3 * min(timed), 1e3 * max(timed)),
        rows_per_second=batch / seconds,
        gflops=3e-9 * cost.flops_per_sample * batch / seconds,
        megabytes=cost.bytes_per_step / 1e6,
    )


def two_cores(folder: Path) -> Iterator[str]:
    """Rows per second of two trials with a thread each against one trial with two threads."""
    for family in FAMILIES:
        with Side.ours(_trial, folder, family, 2) as both:
            one = median(both() for _ in range(3))
        with Side.ours(_trial, folder, family, 1) as first, Side.ours(_trial, folder, family, 1) as second:
            rounds = []
            for _ in range(3):
                first.start()
                rounds.append(second() + first.result())
        two = median(rounds)
        yield f"{family}: two trials on a core each {two:,.0f} rows/s, one on two {one:,.0f} rows/s: {two / one:.2f}x"


def _trial(folder: Path, family: str, threads: int) -> Callable[[], float]:
    torch.set_num_threads(threads)
    dataset = Dataset.open(folder)

    def run() -> float:
        return measure("", 0, dataset, ModelSpec(family), 2048, 24).rows_per_second

    run()
    return run


def _dataset(folder: Path, ids: int) -> Dataset:
    """The Criteo shape with so many ids, written once."""
    path = folder / str(ids)
    return Dataset.open(path) if path.exists() else zipf_dataset(path, ROWS, vocabulary_sizes(ids), held_out=4096)


def line(point: Point) -> str:
    """A point for a terminal."""
    return (
        f"{point.sweep:10} {point.x:>11,} {point.family:6} {point.milliseconds:9.1f} ms "
        f"[{point.spread[0]:.1f}, {point.spread[1]:.1f}] {point.rows_per_second:10,.0f} rows/s "
        f"{point.gflops:6.0f} GFLOP/s {point.megabytes:8,.0f} MB"
    )


def picture(points: list[Point]) -> go.Figure:
    """A panel per sweep, a line per family, both axes logarithmic."""
    names = list(dict.fromkeys(point.sweep for point in points))
    figure = make_subplots(1, len(names), subplot_titles=[f"step time against {name}" for name in names])
    for place, name in enumerate(names, 1):
        for family, dash in zip(FAMILIES, ("solid", "dash"), strict=True):
            chosen = [point for point in points if point.sweep == name and point.family == family]
            xs, ys = [point.x for point in chosen], [point.milliseconds for point in chosen]
            trace = go.Scatter(x=xs, y=ys, name=family, mode="lines+markers", line={"dash": dash})
            figure.add_trace(trace.update(showlegend=place == 1, legendgroup=family), 1, place)
        figure.update_xaxes(type="log", title=name, row=1, col=place)
        figure.update_yaxes(type="log", title="ms per step" if place == 1 else None, row=1, col=place)
    return figure.update_layout(width=1400, height=380, template="plotly_white", colorway=["#0072B2", "#D55E00"])


if __name__ == "__main__":
    main()
