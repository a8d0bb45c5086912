"""Optimizers for embedding tables that touch only the rows of a batch; duplicates are summed into one step per row.

Legend: V table rows, U distinct rows in a batch, M sets, K embedding dimension per set, C = M*K.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from recscale.kernels import touched_rows
from recscale.records import Decay, TableOptimizer, TrainSpec


class RowOptimizer(torch.optim.Optimizer):
    """What both have in common: steps over sparse gradients, and where a compiled kernel notes a batch's rows."""

    def __init__(self, parameters: Iterable[nn.Parameter], defaults: dict[str, Any]) -> None:
        super().__init__(parameters, defaults)
        self._slot_arrays: dict[nn.Parameter, np.ndarray] = {}

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update from sparse gradients [V, C]."""
        for group in self.param_groups:
            for table_VC in group["params"]:
                self._update(table_VC, group)

    def _update(self, table_VC: nn.Parameter, group: dict[str, Any]) -> None:
        raise NotImplementedError

    def _slots(self, table_VC: nn.Parameter) -> np.ndarray:
        """Scratch of a table, int32 [V]; no part of the state."""
        if table_VC not in self._slot_arrays:
            self._slot_arrays[table_VC] = np.full(len(table_VC), touched_rows.FREE, np.int32)
        return self._slot_arrays[table_VC]


class LazyAdam(RowOptimizer):
    """Adam whose moments and weights change only in touched rows; bias correction counts all steps.

    The rule of torch.optim.SparseAdam (Kingma and Ba 2015, moments of untouched rows frozen), plus decay of touched
    rows. With every row touched at every step it equals dense Adam (AdamW where decoupled) with the same decay.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float,
        weight_decay: float,
        decay: Decay = Decay.COUPLED,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        defaults = _decaying(learning_rate, weight_decay, decay)
        super().__init__(parameters, {**defaults, "betas": betas, "eps": eps})

    def _update(self, table_VC: nn.Parameter, group: dict[str, Any]) -> None:
        state = self.state[table_VC]
        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(table_VC), exp_avg_sq=torch.zeros_like(table_VC))
        state["step"] += 1
        beta1, beta2 = group["betas"]
        moments, corrections = (
            (state["exp_avg"], state["exp_avg_sq"]),
            tuple(1 - b ** state["step"] for b in (beta1, beta2)),
        )
        step_size = group["lr"] / corrections[0]
        if compiles(table_VC):
            touched_rows.lazy_adam(
                *_arrays(table_VC, *moments),
                self._slots(table_VC),
                beta1,
                beta2,
                step_size,
                corrections[1],
                group["eps"],
                *_decay(group),
            )
            return
        row_U, grad_UC, weight_UC = _touched(table_VC, group)
        mean_UC = moments[0].index_select(0, row_U).lerp_(grad_UC, 1 - beta1)
        square_UC = moments[1].index_select(0, row_U).mul_(beta2).addcmul_(grad_UC, grad_UC, value=1 - beta2)
        moments[0].index_copy_(0, row_U, mean_UC)
        moments[1].index_copy_(0, row_U, square_UC)
        denominator_UC = square_UC.div_(corrections[1]).sqrt_().add_(group["eps"])
        table_VC.index_copy_(0, row_U, weight_UC.addcdiv_(mean_UC, denominator_UC, value=-step_size))


class RowwiseAdagrad(RowOptimizer):
    """Adagrad with one accumulator per row and set, the mean of the squared gradient over that row's K entries."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float,
        weight_decay: float,
        num_sets: int,
        decay: Decay = Decay.COUPLED,
        eps: float = 1e-8,
    ) -> None:
        defaults = _decaying(learning_rate, weight_decay, decay)
        super().__init__(parameters, {**defaults, "num_sets": num_sets, "eps": eps})

    def _update(self, table_VC: nn.Parameter, group: dict[str, Any]) -> None:
        sets = int(group["num_sets"])
        state = self.state[table_VC]
        if not state:
            state.update(sum=table_VC.new_zeros(table_VC.shape[0], sets))
        if compiles(table_VC):
            arrays = _arrays(table_VC, state["sum"])
            touched_rows.rowwise_adagrad(*arrays, self._slots(table_VC), group["lr"], group["eps"], *_decay(group))
            return
        row_U, grad_UC, weight_UC = _touched(table_VC, group)
        grad_UMK = grad_UC.view(grad_UC.shape[0], sets, -1)
        total_UM = state["sum"].index_select(0, row_U) + grad_UMK.square().mean(-1)
        state["sum"].index_copy_(0, row_U, total_UM)
        step_UMK = grad_UMK / (total_UM.sqrt() + group["eps"]).unsqueeze(-1)
        table_VC.index_copy_(0, row_U, weight_UC.sub_(step_UMK.view_as(weight_UC), alpha=group["lr"]))


def _decaying(learning_rate: float, weight_decay: float, decay: Decay) -> dict[str, Any]:
    """What every group of ours holds; decay as plain text, which a checkpoint may hold."""
    return {"lr": learning_rate, "weight_decay": weight_decay, "decay": decay.value}


def compiles(table_VC: torch.Tensor) -> bool:
    """Whether the compiled kernels take this table."""
    return table_VC.is_cpu and table_VC.dtype is torch.float32


def _arrays(table_VC: nn.Parameter, *states: torch.Tensor) -> tuple[np.ndarray, ...]:
    """Rows and values of the gradient, the weights and the states, as the kernels take them: without a copy."""
    assert table_VC.grad is not None
    row_L, grad_LC = table_VC.grad._indices()[0], table_VC.grad._values().contiguous()
    return tuple(tensor.detach().numpy() for tensor in (row_L, grad_LC, table_VC, *states))


def _decay(group: dict[str, Any]) -> tuple[float, float]:
    """L2 in the gradient, and what weights are multiplied by."""
    decay: float = group["weight_decay"]
    return (0.0, 1 - group["lr"] * decay) if group["decay"] == Decay.DECOUPLED else (decay, 1.0)


def _touched(table_VC: nn.Parameter, group: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The rows a batch touched, their summed gradient and a copy of their weights; decay is in one or the other."""
    assert table_VC.grad is not None
    row_U, grad_UC = summed_rows(table_VC.grad)
    weight_UC = table_VC.index_select(0, row_U)
    if group["decay"] == Decay.DECOUPLED:
        return row_U, grad_UC, weight_UC.mul_(1 - group["lr"] * group["weight_decay"])
    return row_U, grad_UC.add_(weight_UC, alpha=group["weight_decay"]), weight_UC


def summed_rows(grad_VC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Distinct rows [U] of a sparse gradient with their sums [U, C], which are added up in the batch's order.

    What `coalesce` does, at half its time on a CPU: int32 rows sort by radix, and no value is moved before it is added.
    """
    row_L, grad_LC = grad_VC._indices()[0], grad_VC._values()
    sorted_L, place_L = row_L.int().sort(stable=True)
    first_L = torch.ones_like(sorted_L, dtype=torch.bool)
    torch.ne(sorted_L[1:], sorted_L[:-1], out=first_L[1:])
    segment_L = torch.empty_like(row_L).index_copy_(0, place_L, first_L.cumsum(0) - 1)
    row_U = sorted_L[first_L].long()
    return row_U, grad_LC.new_zeros(len(row_U), grad_LC.shape[1]).index_add_(0, segment_L, grad_LC)


def table_optimizer(table_VC: nn.Parameter, spec: TrainSpec, num_sets: int) -> torch.optim.Optimizer:
    """The optimizer of the tables that `spec` names."""
    if spec.table_optimizer is TableOptimizer.ADAM:
        return dense_adam([table_VC], spec)
    if spec.table_optimizer is TableOptimizer.LAZY_ADAM:
        return LazyAdam([table_VC], spec.learning_rate, spec.weight_decay, spec.decay)
    return RowwiseAdagrad([table_VC], spec.learning_rate, spec.weight_decay, num_sets, spec.decay)


def dense_adam(parameters: Iterable[nn.Parameter], spec: TrainSpec) -> torch.optim.Optimizer:
    """Fused Adam, or AdamW where the decay is decoupled."""
    kind = torch.optim.AdamW if spec.decay is Decay.DECOUPLED else torch.optim.Adam
    return kind(parameters, lr=spec.learning_rate, weight_decay=spec.weight_decay, fused=True)
