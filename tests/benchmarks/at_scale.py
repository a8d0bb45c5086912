"""A plan on paper for 4.3 billion rows and a billion ids: `python -m tests.benchmarks.at_scale` prints a table.

Bytes, FLOPs and parameters are counted by the planner's own code on modules without memory; rates and prices are the
constants below. Of the times of arithmetic, memory and network the longest counts, as if the others hid behind it.
"""

from dataclasses import dataclass

import numpy as np

from recscale.models.accounting import account
from recscale.records import ModelSpec, Parallel, Precision, TableOptimizer, TrainSpec
from recscale.training.traffic import worker_cost

ROWS, IDS, FIELDS, BATCH = 4_300_000_000, 1_000_000_000, 39, 65_536
MOST_GPUS, GPU_BYTES = 1024, 80e9
FLOP_RATE, MEMORY_RATE, NETWORK_RATE = 0.4 * 990e12, 0.6 * 3.35e12, 0.7 * 50e9
"""Per GPU and second: bf16 at 40 % of an H100's peak, its memory at 60 %, a 400 Gbit/s network at 70 %."""
PRICE = 4.0
"""US dollars per GPU and hour: an assumption, and everything in dollars is proportional to it."""
RESERVE = 0.8
"""Share of a GPU's memory that a trial may plan with."""


@dataclass(frozen=True)
class Row:
    """One size of model, trained for one epoch."""

    table_bytes: float
    """Tables and their optimizer states."""
    gpus: int
    """The least power of two whose memory is enough."""
    times: tuple[float, float, float]
    """Hours of arithmetic, memory and network."""


def main() -> None:
    """Prints sizes from the base model to 10 sets of 128."""
    sizes = tuple(int(size) for size in vocabulary())
    train = TrainSpec(batch_size=BATCH, table_optimizer=TableOptimizer.ROWWISE_ADAGRAD, precision=Precision.BF16)
    print(f"{sum(sizes):,} ids, {ROWS:,} rows of {FIELDS * 4 + 1} bytes: {ROWS * (FIELDS * 4 + 1) / 1e9:,.0f} GB")
    print("| K x sets | tables and states, GB | GPUs | arithmetic, h | memory, h | network, h | GPU-hours | dollars |")
    print("|---|---|---|---|---|---|---|---|")
    for scale, sets in ((1.0, 1), (4.0, 4), (16.0, 1), (16.0, 4), (128.0, 1), (128.0, 10)):
        model = ModelSpec("dcnv2", scale=scale, num_sets=sets)
        row = measure(model, train, sizes)
        if row is None:
            dense = 4e-9 * account(model, train, sizes).dense_params
            print(f"| {10 * scale / sets:g} x {sets} | its dense part alone is {dense:,.0f} GB and states |||||||")
            continue
        hours = max(row.times)
        print(
            f"| {10 * scale / sets:g} x {sets} | {row.table_bytes / 1e9:,.0f} | {row.gpus} | "
            + " | ".join(f"{time:.2f}" for time in row.times)
            + f" | {hours * row.gpus:,.0f} | {hours * row.gpus * PRICE:,.0f} |"
        )


def vocabulary() -> np.ndarray:
    """Ids per field: from 3 upwards in equal ratios, a billion in all."""
    low, high = 1.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        total = (3 * middle ** np.arange(FIELDS)).sum()
        low, high = (middle, high) if total < IDS else (low, middle)
    return np.asarray(3 * low ** np.arange(FIELDS))


def measure(model: ModelSpec, train: TrainSpec, sizes: tuple[int, ...]) -> Row | None:
    """Times of one epoch on the fewest GPUs that hold the model, its tables divided by rows; None where none do."""
    cost = account(model, train, sizes)
    gpus, needed, sent = 1, float(cost.peak_memory_bytes), 0
    while needed > RESERVE * GPU_BYTES:
        gpus *= 2
        if gpus > MOST_GPUS:
            return None
        worker = worker_cost(model, train, sizes, Parallel.ROWS, gpus)
        needed, sent = float(worker.peak_memory_bytes), worker.sent_bytes_per_step
    steps = ROWS / BATCH
    times = (
        steps * 3 * cost.flops_per_sample * BATCH / gpus / FLOP_RATE,
        steps * cost.bytes_per_step / gpus / MEMORY_RATE,
        steps * sent / NETWORK_RATE,
    )
    states = 4.0 * cost.table_params + 4.0 * sum(sizes) * model.table_sets
    return Row(states, gpus, tuple(time / 3600 for time in times))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
