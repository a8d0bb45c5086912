"""Layers that interactions share: every set has its own parameters, and one batched product serves all sets.

Legend: M embedding sets, B batch, N fields, K embedding dimension per set, I inputs, O outputs, H hidden, P pairs,
F = M*H.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recscale.records import ModelSpec


class SetLinear(nn.Module):
    """One affine map per set, x_MBI -> y_MBO; a set's weights are distributed like those of torch's Linear."""

    def __init__(self, num_sets: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_sets, inputs, outputs))
        self.bias = nn.Parameter(torch.empty(num_sets, 1, outputs))
        bound = 1 / math.sqrt(inputs)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x_MBI: Tensor) -> Tensor:
        """x_m W_m + b_m for every set m."""
        return torch.baddbmm(self.bias, x_MBI, self.weight)


class SetBatchNorm(nn.Module):
    """Batch normalisation with statistics and affine parameters per set and feature, x_MBH -> x_MBH."""

    def __init__(self, num_sets: int, features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(num_sets * features)

    def forward(self, x_MBH: Tensor) -> Tensor:
        """Normalises over B with the sets laid side by side as features."""
        sets, rows, features = x_MBH.shape
        x_BF: Tensor = self.norm(x_MBH.transpose(0, 1).reshape(rows, sets * features))
        return x_BF.view(rows, sets, features).transpose(0, 1)


class SetProjection(nn.Sequential):
    """Linear, BatchNorm, ReLU, Dropout per set: the non-linear end of an interaction (Guo et al. 2024, App. B)."""

    def __init__(self, num_sets: int, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__(
            SetLinear(num_sets, inputs, outputs), SetBatchNorm(num_sets, outputs), nn.ReLU(), nn.Dropout(dropout)
        )


class SetMLP(nn.Sequential):
    """A stack of SetProjections."""

    def __init__(self, num_sets: int, inputs: int, hidden_sizes: Sequence[int], dropout: float) -> None:
        sizes = (inputs, *hidden_sizes)
        super().__init__(
            *(SetProjection(num_sets, i, o, dropout) for i, o in zip(sizes, hidden_sizes, strict=False)),
        )


class MLPHead(nn.Module):
    """Shared layers after the sets are joined: hidden_sizes[1:], then one logit per row."""

    def __init__(self, spec: ModelSpec, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        (inputs,) = widths
        for outputs in spec.hidden_sizes[1:]:
            layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(spec.dropout)]
            inputs = outputs
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, 1))

    def forward(self, streams: tuple[Tensor, ...]) -> Tensor:
        """logit_B of the only stream."""
        (hidden_BH,) = streams
        logit_B1: Tensor = self.layers(hidden_BH)
        return logit_B1.squeeze(1)


def flat_fields(emb_MBNK: Tensor) -> Tensor:
    """Fields side by side, x_MBI with I = N*K: field i fills columns i*K to (i+1)*K."""
    return emb_MBNK.flatten(2)


def pair_indices(num_fields: int) -> Tensor:
    """Fields (i, j) of every pair i < j, shape [2, P], row by row."""
    return torch.triu_indices(num_fields, num_fields, 1)
