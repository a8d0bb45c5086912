"""Optimizers for embedding tables that touch only the rows of a batch; duplicates are summed into one step per row.

Legend: V table rows, U distinct rows in a batch, M sets, K embedding dimension per set, C = M*K.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from recscale.records import Decay, TableOptimizer, TrainSpec


class LazyAdam(torch.optim.Optimizer):
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

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update from sparse gradients [V, C]."""
        for group in self.param_groups:
            for table_VC in group["params"]:
                self._update(table_VC, group)

    def _update(self, table_VC: nn.Parameter, group: dict[str, Any]) -> None:
        row_U, grad_UC, weight_UC = _touched(table_VC, group)
        state = self.state[table_VC]
        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(table_VC), exp_avg_sq=torch.zeros_like(table_VC))
        state["step"] += 1
        beta1, beta2 = group["betas"]
        mean_UC = state["exp_avg"][row_U].lerp_(grad_UC, 1 - beta1)
        square_UC = state["exp_avg_sq"][row_U].mul_(beta2).addcmul_(grad_UC, grad_UC, value=1 - beta2)
        state["exp_avg"].index_copy_(0, row_U, mean_UC)
        state["exp_avg_sq"].index_copy_(0, row_U, square_UC)
        denominator_UC = square_UC.div_(1 - beta2 ** state["step"]).sqrt_().add_(group["eps"])
        step_size = group["lr"] / (1 - beta1 ** state["step"])
        table_VC.index_copy_(0, row_U, weight_UC.addcdiv_(mean_UC, denominator_UC, value=-step_size))


class RowwiseAdagrad(torch.optim.Optimizer):
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

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update from sparse gradients [V, C]."""
        for group in self.param_groups:
            for table_VC in group["params"]:
                self._update(table_VC, group)

    def _update(self, table_VC: nn.Parameter, group: dict[str, Any]) -> None:
        row_U, grad_UC, weight_UC = _touched(table_VC, group)
        sets = int(group["num_sets"])
        state = self.state[table_VC]
        if not state:
            state.update(sum=table_VC.new_zeros(table_VC.shape[0], sets))
        grad_UMK = grad_UC.view(grad_UC.shape[0], sets, -1)
        total_UM = state["sum"][row_U] + grad_UMK.square().mean(-1)
        state["sum"].index_copy_(0, row_U, total_UM)
        step_UMK = grad_UMK / (total_UM.sqrt() + group["eps"]).unsqueeze(-1)
        table_VC.index_copy_(0, row_U, weight_UC.sub_(step_UMK.view_as(weight_UC), alpha=group["lr"]))


def _decaying(learning_rate: float, weight_decay: float, decay: Decay) -> dict[str, Any]:
    """What every group of ours holds; decay as plain text, which a checkpoint may hold."""
    return {"lr": learning_rate, "weight_decay": weight_decay, "decay": decay.value}


def _touched(table_VC: nn.Parameter, group: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The rows a batch touched, their summed gradient and a copy of their weights; decay is in one or the other."""
    assert table_VC.grad is not None
    grad = table_VC.grad.coalesce()
    row_U = grad.indices()[0]
    weight_UC = table_VC[row_U]
    if group["decay"] == Decay.DECOUPLED:
        return row_U, grad.values(), weight_UC.mul_(1 - group["lr"] * group["weight_decay"])
    return row_U, grad.values().add(weight_UC, alpha=group["weight_decay"]), weight_UC


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
