"""What one of several workers sends per step and holds, counted before launch.

Legend: B batch rows, N fields, M sets, C columns of a table row, F features of a batch normalisation, W workers.
"""

from dataclasses import replace
from functools import lru_cache

import torch

from recscale.models.accounting import FLOAT_BYTES, account
from recscale.models.model import MultiEmbeddingModel
from recscale.models.normalisation import NormReLUDropout
from recscale.records import ModelSpec, Parallel, TableOptimizer, TrainSpec, WorkerCost
from recscale.training.data_parallel import sent_rows, slice_rows
from recscale.training.penalties import build_penalty
from recscale.training.set_parallel import own_spec

ROW_NUMBER_BYTES = 4
LOSSES = 2
"""Numbers that travel with the dense gradients."""


@lru_cache(maxsize=4096)
def worker_cost(
    spec: ModelSpec, train: TrainSpec, vocabulary_sizes: tuple[int, ...], parallel: Parallel, workers: int
) -> WorkerCost:
    """The cost of each worker where `check_parallel` has nothing against so many of them; of one: nothing is sent."""
    if workers == 1:
        return WorkerCost(account(spec, train, vocabulary_sizes).peak_memory_bytes, 0)
    memory = _memory_bytes(spec, train, vocabulary_sizes, parallel, workers)
    return WorkerCost(memory, sent_bytes(spec, train, vocabulary_sizes, parallel, workers))


def sent_bytes(
    spec: ModelSpec, train: TrainSpec, vocabulary_sizes: tuple[int, ...], parallel: Parallel, workers: int
) -> int:
    """Bytes that each worker sends per step, by rings: an all-reduce of S bytes sends 2 S (W-1)/W, a reduce-scatter of
    S bytes S (W-1)/W, an all-gather of s bytes from each s (W-1).

    sets: an all-reduce of the joined streams, B * their width floats.
    data: an all-reduce of all dense gradients and two losses; an all-gather of sum_i min(ceil(B/W), D_i) table rows of
    C floats and a number; per normalisation an all-gather of 2 F + 1 floats and an all-reduce of 2 F.
    rows: in place of the table rows, a reduce-scatter of the batch's vectors, ceil(B/W) * W * N * C floats, and an
    all-gather of their gradients, as many.
    """
    rows = train.batch_size
    with torch.device("meta"):
        model = MultiEmbeddingModel(spec, vocabulary_sizes)
        penalty = build_penalty(train, model)
    others = workers - 1
    if parallel is Parallel.SETS:
        return round(FLOAT_BYTES * rows * sum(model.interaction.widths) * 2 * others / workers)
    trained = (*model.dense_parameters(), *penalty.parameters())
    dense = LOSSES + sum(parameter.numel() for parameter in trained)
    features = [module.num_features for module in model.modules() if isinstance(module, NormReLUDropout)]
    reduced = FLOAT_BYTES * (dense + sum(2 * each for each in features)) * 2 * others / workers
    gathered = FLOAT_BYTES * sum(2 * each + 1 for each in features) * others
    columns = model.tables.weight.shape[1]
    if parallel is Parallel.DATA:
        row_bytes = FLOAT_BYTES * columns + ROW_NUMBER_BYTES
        return round(reduced + gathered + sent_rows(vocabulary_sizes, rows, workers) * row_bytes * others)
    slice_bytes = FLOAT_BYTES * slice_rows(rows, workers) * len(vocabulary_sizes) * columns
    return round(reduced + gathered + 2 * slice_bytes * others)


def _memory_bytes(
    spec: ModelSpec, train: TrainSpec, vocabulary_sizes: tuple[int, ...], parallel: Parallel, workers: int
) -> int:
    """As of one worker's trial of its own part, and what the others send it."""
    if parallel is Parallel.SETS:
        return account(own_spec(spec, workers), train, vocabulary_sizes).peak_memory_bytes
    sliced = replace(train, batch_size=slice_rows(train.batch_size, workers))
    columns = account(spec, train, vocabulary_sizes).table_params // sum(vocabulary_sizes)
    if parallel is Parallel.DATA:
        row_bytes = FLOAT_BYTES * columns + ROW_NUMBER_BYTES
        received = workers * sent_rows(vocabulary_sizes, train.batch_size, workers) * row_bytes
        return account(spec, sliced, vocabulary_sizes).peak_memory_bytes + received
    # The batch's vectors before they are scattered, or their gradients; the gradient of own rows is dense.
    received = FLOAT_BYTES * train.batch_size * len(vocabulary_sizes) * columns
    own_sizes = tuple(slice_rows(size, workers) for size in vocabulary_sizes)
    own = account(spec, sliced, own_sizes).peak_memory_bytes
    if train.table_optimizer is not TableOptimizer.ADAM:
        own += FLOAT_BYTES * columns * sum(own_sizes)
    return own + received
