"""What a trial costs, computed before launch: parameters, FLOPs, bytes per step, peak memory.

Legend: B batch, N fields, M embedding sets, K embedding dimension per set, V table rows over all fields.
Counts come from the model itself, built and run on torch's meta device: no memory, no arithmetic, no special cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from recscale.models.model import MultiEmbeddingModel
from recscale.records import ModelCost, ModelSpec, TableOptimizer, TrainSpec

FLOAT_BYTES = 4
INDEX_BYTES = 8
STEP_BYTES = 4
"""Of the step that a table's row is at."""


@dataclass(frozen=True)
class StepSizes:
    """Sizes, in bytes, that traffic and memory are made of."""

    table: int
    """The whole fused table."""
    table_states: int
    """The table optimizer's states, full size."""
    touched_share: float
    """Share of table rows that the optimizer visits in one step, at most min(B, D_i) of field i unless dense."""
    gathered: int
    """A batch's vectors: B * N * M * K floats; a sparse gradient's values are as many."""
    ids: int
    """A batch's ids as int64."""
    dense: int
    """All dense parameters."""
    activations: int
    """Tensors that autograd keeps between a batch's forward and backward pass."""


@lru_cache(maxsize=4096)
def account(spec: ModelSpec, train: TrainSpec, vocabulary_sizes: tuple[int, ...]) -> ModelCost:
    """The cost of a spec on a dataset; ConfigError where no model has this spec."""
    with torch.device("meta"):
        model = MultiEmbeddingModel(spec, vocabulary_sizes)
    table_params = model.tables.weight.numel()
    dense_params = sum(parameter.numel() for parameter in model.dense_parameters())
    rows, optimizer = train.batch_size, train.table_optimizer
    sizes = StepSizes(
        table=table_params * FLOAT_BYTES,
        table_states=_state_bytes(model.tables.weight.shape, model.tables.embed_dim, optimizer),
        touched_share=_touched_share(vocabulary_sizes, rows, optimizer),
        gathered=rows * len(vocabulary_sizes) * model.tables.weight.shape[1] * FLOAT_BYTES,
        ids=rows * len(vocabulary_sizes) * INDEX_BYTES,
        dense=dense_params * FLOAT_BYTES,
        activations=_activation_bytes(model, rows),
    )
    return ModelCost(
        table_params=table_params,
        dense_params=dense_params,
        flops_per_sample=_flops_per_sample(model),
        bytes_per_step=step_bytes(sizes, optimizer),
        peak_memory_bytes=memory_bytes(sizes, optimizer),
    )


def step_bytes(sizes: StepSizes, optimizer: TableOptimizer) -> int:
    """Bytes touched per optimizer step, caches ignored.

    Gather: read the rows, write the batch = 2 gathered. Its gradient: written once, read once = 2 gathered.
    Table update, over the visited rows: read and write weights and states = 2 (table + states), and as much again where
    rows first take the steps that they deferred (all rows do once per evaluation, which is left out); a dense gradient
    of table size is written as zeros, added to, and read by the optimizer = 2 table more.
    Dense parameters: read forward and backward, gradient written and read, Adam reads and writes weight and two
    moments = 10 dense. Activations: written forward, read backward = 2 activations.
    """
    visits = 2 if optimizer is TableOptimizer.DEFERRED_ADAM else 1
    update = visits * sizes.touched_share * 2 * (sizes.table + sizes.table_states)
    dense_gradient = 2 * sizes.table if optimizer is TableOptimizer.ADAM else 0
    return round(4 * sizes.gathered + update + dense_gradient + 10 * sizes.dense + 2 * sizes.activations)


def memory_bytes(sizes: StepSizes, optimizer: TableOptimizer) -> int:
    """Bytes alive at the peak: everything kept, and the gradients of one step.

    Kept: table and its states; dense parameters and two Adam moments; a copy of the best weights (in host memory, so
    beside an accelerator's share it is a bound). One step: the table's gradient, dense (table size) or sparse (values
    and ids, as gathered and with duplicates summed: twice); dense gradients; activations, and as much again as the
    batch's vectors for the gradient that flows back into them.
    """
    kept = 2 * sizes.table + sizes.table_states + 4 * sizes.dense
    table_gradient = sizes.table if optimizer is TableOptimizer.ADAM else 2 * (sizes.gathered + sizes.ids)
    return kept + table_gradient + sizes.dense + sizes.activations + sizes.gathered


def _state_bytes(shape: Sequence[int], embed_dim: int, optimizer: TableOptimizer) -> int:
    """Two moments per entry, and the step that a row is at where steps are deferred; or an accumulator per row, set."""
    rows, columns = shape
    if optimizer is TableOptimizer.ROWWISE_ADAGRAD:
        return rows * columns // embed_dim * FLOAT_BYTES
    steps = rows * STEP_BYTES if optimizer is TableOptimizer.DEFERRED_ADAM else 0
    return 2 * rows * columns * FLOAT_BYTES + steps


def _touched_share(vocabulary_sizes: Sequence[int], batch_rows: int, optimizer: TableOptimizer) -> float:
    if optimizer is TableOptimizer.ADAM:
        return 1.0
    return sum(min(batch_rows, size) for size in vocabulary_sizes) / sum(vocabulary_sizes)


def _flops_per_sample(model: MultiEmbeddingModel) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval().score(_meta_vectors(model, batch_rows=1))
    return int(counter.get_total_flops())


def _activation_bytes(model: MultiEmbeddingModel, batch_rows: int) -> int:
    """Storage kept by autograd, each counted once, parameters and buffers left out; the gather keeps its rows' numbers.

    A CPU keeps less, where compiled kernels take the place of torch's operations.
    """
    own = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
    saved: dict[int, torch.UntypedStorage] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model.train().score(_meta_vectors(model, batch_rows).requires_grad_())
    gathered = batch_rows * len(model.tables.vocabulary_sizes) * INDEX_BYTES
    return gathered + sum(storage.nbytes() for key, storage in saved.items() if key not in own)


def _meta_vectors(model: MultiEmbeddingModel, batch_rows: int) -> Tensor:
    """What the tables give, without a gather: on the meta device torch would import its compiler for one."""
    tables = model.tables
    shape = (tables.num_sets, batch_rows, len(tables.vocabulary_sizes), tables.embed_dim)
    return torch.empty(shape, device="meta")
