"""Which optimizer a spec means for tables and dense parameters, and what it needs around its steps.

Legend: V table rows, L looked-up rows of a batch, duplicates included, C columns of a row.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from recscale.errors import DataError
from recscale.records import Decay, TableOptimizer, TrainSpec
from recscale.training.deferred_adam import DeferredAdam
from recscale.training.row_optimizers import LazyAdam, RowwiseAdagrad


def table_optimizer(table_VC: nn.Parameter, spec: TrainSpec, num_sets: int) -> torch.optim.Optimizer:
    """The optimizer of the tables that `spec` names."""
    if spec.table_optimizer is TableOptimizer.ADAM:
        return dense_adam([table_VC], spec)
    if spec.table_optimizer is TableOptimizer.DEFERRED_ADAM:
        return DeferredAdam([table_VC], spec.learning_rate, spec.weight_decay, spec.decay)
    if spec.table_optimizer is TableOptimizer.LAZY_ADAM:
        return LazyAdam([table_VC], spec.learning_rate, spec.weight_decay, spec.decay)
    return RowwiseAdagrad([table_VC], spec.learning_rate, spec.weight_decay, num_sets, spec.decay)


def catch_up(optimizer: torch.optim.Optimizer, row_L: Callable[[], torch.Tensor]) -> None:
    """Before rows [L] of a table are looked up for a step: where the optimizer defers steps, those rows take theirs."""
    if isinstance(optimizer, DeferredAdam):
        optimizer.catch_up(row_L())


def settle(optimizer: torch.optim.Optimizer) -> bool:
    """Before a table is looked at other than by a step: all rows take theirs; whether there may have been any."""
    return isinstance(optimizer, DeferredAdam) and optimizer.settle()


def dense_adam(parameters: Iterable[nn.Parameter], spec: TrainSpec) -> torch.optim.Optimizer:
    """Fused Adam, or AdamW where the decay is decoupled."""
    kind = torch.optim.AdamW if spec.decay is Decay.DECOUPLED else torch.optim.Adam
    return kind(parameters, lr=spec.learning_rate, weight_decay=spec.weight_decay, fused=True)


def load_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Takes over the moments of a saved state, and nothing else; DataError where they are not of these parameters.

    torch checks no shape here, and kernels would follow whatever they are given.
    """
    settings = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(saved)
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)
    for parameter, moments in optimizer.state.items():
        rows = int(optimizer.defaults.get("num_sets", 0))
        shapes = {"step": torch.Size(), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
        if rows:
            shapes = {"sum": torch.Size((len(parameter), rows))}
        got = {name: value.shape for name, value in moments.items() if value.layout is torch.strided}
        if got != shapes or not all(value.is_floating_point() for value in moments.values()):
            raise DataError(f"the optimizer has moments {got} of a parameter of shape {tuple(parameter.shape)}")
