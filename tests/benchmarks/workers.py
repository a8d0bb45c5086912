"""One trial over several workers: time of a step, and bytes sent against bytes counted before launch.

Workers are processes of one gloo group on this machine, a thread each, and talk over its loopback, whose own counter
is read; other traffic on it counts as well, so run it alone: `unshare -n` gives it a loopback of its own.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import torch
import torch.distributed as dist

from recscale.data.reader import Dataset
from recscale.records import ModelSpec, Parallel, TrialSpec
from recscale.training.parallel import ONE, strategy_of
from recscale.training.run import TrainingRun
from recscale.training.traffic import worker_cost
from tests.benchmarks.bench import environment, line
from tests.benchmarks.measure import Row, Side, compared
from tests.benchmarks.steps import BATCH, DEFAULT, STEPS, WARM
from tests.benchmarks.world import vocabulary_sizes, zipf_dataset
from tests.training.counting import SentBytes

COUNTERS = Path("/proc/self/net/dev")
MODEL = ModelSpec("dcnv2", scale=4.0, num_sets=4)
SHAPES = ((2, Parallel.DATA), (2, Parallel.SETS), (2, Parallel.ROWS), (4, Parallel.DATA), (4, Parallel.SETS))


@dataclass(frozen=True)
class Steps:
    """Some steps of one worker."""

    seconds: float
    """Per step."""
    cpu_seconds: float
    """Of this worker's process per step: what other programs on the machine leave alone."""
    sent: float
    """Bytes that this worker handed to collectives in a step, by rings."""
    wire: float
    """Bytes that the loopback carried per step, all workers' and headers'."""


def main() -> None:
    """Prints a row per way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    print(", ".join(f"{key} {value}" for key, value in environment().items()))
    with tempfile.TemporaryDirectory() as folder:
        zipf_dataset(Path(folder) / "data", BATCH * STEPS, vocabulary_sizes())
        for row in measure(Path(folder), repeats):
            print(line(row), flush=True)


def measure(folder: Path, repeats: int) -> Iterator[Row]:
    """Every way beside one worker, in turn."""
    sizes = Dataset.open(folder / "data").manifest.vocabulary_sizes
    for workers, way in SHAPES:
        alone, team = _rounds(folder, workers, way, repeats)
        counted = worker_cost(MODEL, DEFAULT, sizes, way, workers)
        sent = {steps.sent for steps in team[0]}
        carried = median(steps.wire for steps in (each[0] for each in team)) / workers
        cpu = [1e3 * median(max(one.cpu_seconds for one in each) for each in sides) for sides in (team, zip(alone))]
        note = (
            f"CPU of a worker {cpu[0]:.0f} ms, of one alone {cpu[1]:.0f} ms; "
            f"sent per worker and step: counted {counted.sent_bytes_per_step / 1e6:.3f} MB, at the collectives "
            f"{max(sent) / 1e6:.3f} MB, on the wire {carried / 1e6:.3f} MB; memory per worker "
            f"{counted.peak_memory_bytes / 2**20:.0f} MiB counted"
        )
        ours = [1e3 * max(steps.seconds for steps in each) for each in team]
        yield compared(f"{workers} workers, {way.value}", ours, [1e3 * each.seconds for each in alone], "ms", note=note)


def _rounds(folder: Path, workers: int, way: Parallel, repeats: int) -> tuple[list[Steps], list[list[Steps]]]:
    """One worker and the team in turn; the first round warms up and is left out."""
    store = folder / f"{workers}-{way.value}"
    with ExitStack() as stack:
        one = stack.enter_context(Side.ours(steps_of, folder / "data", None, 0, 1, store))
        team = [
            stack.enter_context(Side.ours(steps_of, folder / "data", way, rank, workers, store))
            for rank in range(workers)
        ]
        rounds = []
        for _ in range(repeats + 1):
            alone = one()
            for side in team:
                side.start()
            rounds.append((alone, [side.result() for side in team]))
    return [alone for alone, _ in rounds[1:]], [several for _, several in rounds[1:]]


def steps_of(data: Path, way: Parallel | None, rank: int, workers: int, store: Path) -> Callable[[], Steps]:
    """A worker that runs some steps when it is asked, its group and its trial made at the first time."""
    held: list[TrainingRun] = []

    def steps() -> Steps:
        if not held:
            held.append(_trial(data, way, rank, workers, store))
        (run,) = held
        batches = cycle(list(run.splits["train"].epoch(BATCH, 0, 0)))
        run.model.train()
        for batch in islice(batches, WARM - 1):
            run._optimize(batch)
        counted = SentBytes()
        if way is not None:
            with counted:
                run._optimize(next(batches))
            dist.barrier()
        before, started, cpu = _carried(), time.perf_counter(), time.process_time()
        for batch in islice(batches, STEPS):
            run._optimize(batch)
        seconds = (time.perf_counter() - started) / STEPS
        cpu_seconds = (time.process_time() - cpu) / STEPS
        if way is not None:
            dist.barrier()
        return Steps(seconds, cpu_seconds, counted.total, (_carried() - before) / STEPS)

    return steps


def _carried() -> int:
    """Bytes that the loopback has sent so far; Linux only."""
    (loopback,) = (line.split(":")[1] for line in COUNTERS.read_text().splitlines() if line.strip().startswith("lo:"))
    return int(loopback.split()[8])


def _trial(data: Path, way: Parallel | None, rank: int, workers: int, store: Path) -> TrainingRun:
    torch.set_num_threads(1)
    if way is not None:
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        dist.init_process_group("gloo", store=dist.FileStore(str(store), workers), rank=rank, world_size=workers)
    dataset = Dataset.open(data)
    spec = TrialSpec(dataset.manifest.fingerprint, MODEL, DEFAULT, seed=0)
    return TrainingRun(spec, dataset, torch.device("cpu"), ONE if way is None else strategy_of(way))


if __name__ == "__main__":
    main()
