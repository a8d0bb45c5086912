"""BatchNorm, ReLU and dropout as one layer: apart, they cost a CPU more than the matrix product before them.

Legend: M embedding sets, B batch, H features of a set, F = M*H, X: [B, F] or [M, B, H].
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

Standardise = Callable[[Tensor, float], tuple[Tensor, Tensor, Tensor, Tensor]]
"""(x, eps) -> (x - mean) / sqrt(variance + eps) over the rows of all workers; mean_F, biased variance_F; those rows."""


class NormReLUDropout(nn.BatchNorm1d):
    """dropout(relu(batch_norm(x))), with statistics and affine parameters per set and feature."""

    def __init__(self, features: int, dropout: float) -> None:
        super().__init__(features)
        self.dropout = dropout
        self.across: Standardise | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Of x_BF or x_MBH, the same shape."""
        if self.training and self.across is not None:
            return functional.dropout(functional.relu(self._of_all_workers(x.float())), self.dropout)
        if self.training and compiles(x):
            return self._fused(x.float())
        normed = super().forward(x) if x.dim() == 2 else self._sets_apart(x)
        return functional.dropout(functional.relu(normed), self.dropout, self.training)

    def after(self, linear: "Linear", x: Tensor) -> Tensor:
        """Of linear(x). In training the bias cancels against the mean: it moves the running mean, and nothing else."""
        if not self.training:
            evaluated: Tensor = self(linear(x))
            return evaluated
        y, shift_F = self(linear.product(x)), linear.bias.detach().flatten()
        assert self.running_mean is not None
        assert self.momentum is not None
        # By data, for torch's norm has the buffer in its graph, where training does not read it.
        self.running_mean.data.add_(shift_F, alpha=self.momentum)
        cancelled: Tensor = _Cancelled.apply(y, linear.bias)  # type: ignore[no-untyped-call]
        return cancelled

    def _sets_apart(self, x_MBH: Tensor) -> Tensor:
        """Normalises over B with the sets laid side by side as features."""
        sets, rows, features = x_MBH.shape
        x_BF: Tensor = super().forward(x_MBH.transpose(0, 1).reshape(rows, sets * features))
        return x_BF.view(rows, sets, features).transpose(0, 1)

    def _of_all_workers(self, x: Tensor) -> Tensor:
        """Normalises over the rows of all workers."""
        assert self.across is not None
        standard, mean_F, variance_F, rows = self.across(x, self.eps)
        self._track(mean_F, variance_F, rows.float())
        weight, bias = (each.view(*x.shape[:-2], 1, x.shape[-1]) for each in (self.weight, self.bias))
        return torch.addcmul(bias, standard, weight)

    def _fused(self, x: Tensor) -> Tensor:
        """One compiled pass for statistics and one for the rest."""
        dropped = min(round(self.dropout * 2**32), 2**32 - 1)
        y, mean_F, variance_F = _Fused.apply(x, self.weight, self.bias, self.eps, dropped)  # type: ignore[no-untyped-call]
        self._track(mean_F, variance_F, x.shape[-2])
        return y  # type: ignore[no-any-return]

    def _track(self, mean_F: Tensor, variance_F: Tensor, rows: int | Tensor) -> None:
        """Moves the running statistics as torch does."""
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean_F, self.momentum)
        self.running_var.lerp_(variance_F * (rows / (rows - 1)), self.momentum)


class Linear(Protocol):
    """An affine map whose product is to be had alone."""

    bias: nn.Parameter
    __call__: Callable[..., Any]

    def product(self, x: Tensor, /) -> Tensor:
        """The map without its bias."""


class _Cancelled(torch.autograd.Function):
    """y, which does not depend on the bias: its gradient is 0, not none, so that optimizers treat it as any other."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(bias)
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        (bias,) = ctx.saved_tensors
        return grad, torch.zeros_like(bias)


def compiles(x: Tensor) -> bool:
    """Whether the compiled kernels take x, bfloat16 as float32; one row is torch's to refuse."""
    return x.is_cpu and x.dtype in (torch.float32, torch.bfloat16) and x.shape[-2] > 1


class _Fused(torch.autograd.Function):
    """The compiled kernels under autograd; one draw of torch's generator seeds all of a call's dropout."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight_F: Tensor, bias_F: Tensor, eps: float, dropped: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        from recscale.kernels import norm_relu_dropout  # only here: an accelerator needs no numba

        x_MBH = x.contiguous().view(-1, *x.shape[-2:])
        weight_MH, bias_MH = (each.detach().view(len(x_MBH), -1).numpy() for each in (weight_F, bias_F))
        seed = int(torch.randint(2**62, ())) if dropped else 0
        y_MBH, mean_MH, variance_MH = map(
            torch.from_numpy, norm_relu_dropout.forward(x_MBH.numpy(), weight_MH, bias_MH, eps, dropped, seed)
        )
        ctx.save_for_backward(y_MBH, x_MBH, weight_F, mean_MH, variance_MH)
        ctx.settings = eps, dropped
        mean_F, variance_F = mean_MH.flatten(), variance_MH.flatten()
        ctx.mark_non_differentiable(mean_F, variance_F)
        return y_MBH.view(x.shape), mean_F, variance_F

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        from recscale.kernels import norm_relu_dropout

        y_MBH, x_MBH, weight_F, mean_MH, variance_MH = ctx.saved_tensors
        alike = len(x_MBH) > 1 and grad.stride(0) == 0  # one gradient for all sets, as of a sum over them
        grad_MBH = (grad[:1] if alike else grad).contiguous().view(-1, *x_MBH.shape[1:])
        weight_MH = weight_F.detach().view(mean_MH.shape)
        saved = (grad_MBH, y_MBH, x_MBH, weight_MH, mean_MH, variance_MH)
        arrays = norm_relu_dropout.Layer(*(each.numpy() for each in saved))
        grad_x_MBH, grad_weight_MH, grad_bias_MH = map(
            torch.from_numpy, norm_relu_dropout.backward(arrays, *ctx.settings)
        )
        return grad_x_MBH.view(grad.shape), grad_weight_MH.flatten(), grad_bias_MH.flatten(), None, None
