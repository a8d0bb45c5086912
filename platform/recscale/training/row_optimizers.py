"""Optimizers for embedding tables that touch only the rows of a batch; duplicates are summed into one step per row.

Legend: V table rows, L looked-up rows of a batch, duplicates included, M sets, K embedding dimension per set, C = M*K.

On a CPU in float32, compiled kernels do it. Elsewhere torch's operations do, on tensors whose shapes do not depend on
how many rows are distinct: nothing waits for the device, and a step can be captured in a CUDA graph.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from recscale.models.tables import compiles
from recscale.records import Decay

BETAS = (0.9, 0.999)
"""Of Adam's moments."""


class RowOptimizer(torch.optim.Optimizer):
    """What all have in common: steps over sparse gradients, and where a compiled kernel notes a batch's rows."""

    def __init__(self, parameters: Iterable[nn.Parameter], defaults: dict[str, Any]) -> None:
        super().__init__(parameters, defaults)
        self._slot_arrays: dict[nn.Parameter, np.ndarray] = {}

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update from sparse gradients [V, C]."""
        for group in self.param_groups:
            for table_VC in group["params"]:
                state = self.state[table_VC]
                if not state:
                    state.update(self._start(table_VC, group))
                update = self._compiled if compiles(table_VC) else self._update
                update(table_VC, state, group)

    def _start(self, table_VC: nn.Parameter, group: dict[str, Any]) -> dict[str, torch.Tensor]:
        """State before the first step."""
        raise NotImplementedError

    def _update(self, table_VC: nn.Parameter, state: dict[str, torch.Tensor], group: dict[str, Any]) -> None:
        """By torch's operations."""
        raise NotImplementedError

    def _compiled(self, table_VC: nn.Parameter, state: dict[str, torch.Tensor], group: dict[str, Any]) -> None:
        """By the kernels."""
        raise NotImplementedError

    def _slots(self, table_VC: nn.Parameter) -> np.ndarray:
        """Scratch of a table, int32 [V], which every kernel leaves as it found it; no part of the state."""
        from recscale.kernels import touched_rows

        if table_VC not in self._slot_arrays:
            self._slot_arrays[table_VC] = touched_rows.free_slots(len(table_VC))
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
        eps: float = 1e-8,
    ) -> None:
        defaults = _decaying(learning_rate, weight_decay, decay)
        super().__init__(parameters, {**defaults, "eps": eps})

    def _start(self, table_VC: nn.Parameter, group: dict[str, Any]) -> dict[str, torch.Tensor]:
        moments = {name: torch.zeros_like(table_VC) for name in ("exp_avg", "exp_avg_sq")}
        return {"step": torch.zeros((), device=table_VC.device), **moments}

    def _update(self, table_VC: nn.Parameter, state: dict[str, torch.Tensor], group: dict[str, Any]) -> None:
        state["step"] = step = state["step"].to(table_VC.device).add_(1)
        beta1, beta2 = BETAS
        row_L, grad_LC, weight_LC = _touched(table_VC, group)
        mean_LC = state["exp_avg"].index_select(0, row_L).lerp_(grad_LC, 1 - beta1)
        square_LC = state["exp_avg_sq"].index_select(0, row_L).mul_(beta2).addcmul_(grad_LC, grad_LC, value=1 - beta2)
        state["exp_avg"].index_copy_(0, row_L, mean_LC)
        state["exp_avg_sq"].index_copy_(0, row_L, square_LC)
        denominator_LC = square_LC.div_(1 - beta2 ** step.double()).sqrt_().add_(group["eps"])
        change_LC = mean_LC.mul_(group["lr"] / (1 - beta1 ** step.double())).div_(denominator_LC)
        table_VC.index_copy_(0, row_L, weight_LC.sub_(change_LC))

    def _compiled(self, table_VC: nn.Parameter, state: dict[str, torch.Tensor], group: dict[str, Any]) -> None:
        from recscale.kernels import touched_rows  # only here: an accelerator needs no numba

        step = int(state["step"].add_(1))
        beta1, beta2 = BETAS
        touched = touched_rows.Touched(*_arrays(table_VC), self._slots(table_VC))
        arrays = (state["exp_avg"].numpy(), state["exp_avg_sq"].numpy(), self._steps_noted())
        size, correction = group["lr"] / (1 - beta1**step), 1 - beta2**step
        touched_rows.lazy_adam(touched, *arrays, step, beta1, beta2, size, correction, group["eps"], *decay_of(group))

    def _steps_noted(self) -> np.ndarray:
        """Where the kernel notes touched rows' step, int32 [V]: nowhere, an array of length 0."""
        return np.empty(0, np.int32)


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

    def _start(self, table_VC: nn.Parameter, group: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {"sum": table_VC.new_zeros(table_VC.shape[0], int(group["num_sets"]))}

    def _update(self, table_VC: nn.Parameter, state: dict[str, torch.Tensor], group: dict[str, Any]) -> None:
        row_L, grad_LC, weight_LC = _touched(table_VC, group)
        grad_LMK = grad_LC.view(len(row_L), int(group["num_sets"]), -1)
        total_LM = state["sum"].index_select(0, row_L) + grad_LMK.square().mean(-1)
        state["sum"].index_copy_(0, row_L, total_LM)
        step_LMK = grad_LMK / (total_LM.sqrt() + group["eps"]).unsqueeze(-1)
        table_VC.index_copy_(0, row_L, weight_LC.sub_(step_LMK.view_as(weight_LC), alpha=group["lr"]))

    def _compiled(self, table_VC: nn.Parameter, state: dict[str, torch.Tensor], group: dict[str, Any]) -> None:
        from recscale.kernels import touched_rows

        touched = touched_rows.Touched(*_arrays(table_VC), self._slots(table_VC))
        touched_rows.rowwise_adagrad(touched, state["sum"].numpy(), group["lr"], group["eps"], *decay_of(group))


def _decaying(learning_rate: float, weight_decay: float, decay: Decay) -> dict[str, Any]:
    """What every group of ours holds; decay as plain text, which a checkpoint may hold."""
    return {"lr": learning_rate, "weight_decay": weight_decay, "decay": decay.value}


def _arrays(table_VC: nn.Parameter) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and values of the gradient, and the weights, as the kernels take them: without a copy."""
    assert table_VC.grad is not None
    row_L, grad_LC = table_VC.grad._indices()[0], table_VC.grad._values().contiguous()
    return row_L.numpy(), grad_LC.numpy(), table_VC.detach().numpy()


def decay_of(group: dict[str, Any]) -> tuple[float, float]:
    """L2 in the gradient, and what weights are multiplied by."""
    decay: float = group["weight_decay"]
    return (0.0, 1 - group["lr"] * decay) if group["decay"] == Decay.DECOUPLED else (decay, 1.0)


def _touched(table_VC: nn.Parameter, group: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The rows a batch touched, their summed gradient and a copy of their weights; decay is in one or the other."""
    assert table_VC.grad is not None
    row_L, grad_LC = summed_rows(table_VC.grad)
    weight_LC = table_VC.index_select(0, row_L)
    if group["decay"] == Decay.DECOUPLED:
        return row_L, grad_LC, weight_LC.mul_(1 - group["lr"] * group["weight_decay"])
    return row_L, grad_LC.add_(weight_LC, alpha=group["weight_decay"]), weight_LC


def sorted_lookups(row_L: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Looked-up rows, ascending, as int32; where each was; whether it is the first of its row. All [L]."""
    sorted_L, place_L = row_L.int().sort(stable=True)
    first_L = torch.ones_like(sorted_L, dtype=torch.bool)
    torch.ne(sorted_L[1:], sorted_L[:-1], out=first_L[1:])
    return sorted_L, place_L, first_L


def summed_rows(grad_VC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows [L] of a sparse gradient, sorted, and for each the sum [L, C] of all its lookups.

    A row that was looked up several times comes as often, with the same sum: what is written for it is written more
    than once, and the same. So no shape depends on the rows, where `coalesce` waits for the device to count them.
    """
    row_L, grad_LC = grad_VC._indices()[0], grad_VC._values()
    sorted_L, place_L, first_L = sorted_lookups(row_L)
    segment_L = first_L.cumsum(0) - 1
    sum_LC = torch.zeros_like(grad_LC).index_add_(0, segment_L, grad_LC.index_select(0, place_L))
    return sorted_L.long(), sum_LC.index_select(0, segment_L)
