"""Layers that interactions share: every set has its own parameters, and what is done is done for all sets at once.

Legend: M embedding sets, B batch, N fields, K embedding dimension per set, I inputs, O outputs, H hidden, P pairs,
F = M*H, R rows of a batched product, T items that attend to each other, E columns of one head.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from recscale.errors import ConfigError
from recscale.models.normalisation import NormReLUDropout
from recscale.models.products import linear_product, set_products
from recscale.records import ModelSpec


def linear_parameter(inputs: int, *shape: int) -> nn.Parameter:
    """Weights of a map of so many inputs, distributed like those of torch's Linear."""
    bound = 1 / math.sqrt(inputs)
    return nn.Parameter(nn.init.uniform_(torch.empty(shape), -bound, bound))


class SetLinear(nn.Module):
    """One affine map per set, x_MBI -> y_MBO; a set's weights are distributed like those of torch's Linear."""

    def __init__(self, num_sets: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = linear_parameter(inputs, num_sets, inputs, outputs)
        self.bias = linear_parameter(inputs, num_sets, 1, outputs)

    def forward(self, x_MBI: Tensor) -> Tensor:
        """x_m W_m + b_m for every set m."""
        return set_products(x_MBI, self.weight, self.bias)

    def product(self, x_MBI: Tensor) -> Tensor:
        """x_m W_m."""
        return set_products(x_MBI, self.weight)


class SharedLinear(nn.Linear):
    """torch's Linear, for all sets together."""

    def forward(self, x: Tensor) -> Tensor:
        """x W + b."""
        return linear_product(x, self.weight, self.bias)

    def product(self, x: Tensor) -> Tensor:
        """x W."""
        return linear_product(x, self.weight)


class SetLayerNorm(nn.Module):
    """Layer normalisation over the last dimension with affine parameters per set, any [M, ..., H] -> the same."""

    def __init__(self, num_sets: int, features: int) -> None:
        super().__init__()
        if features < 2:
            raise ConfigError(
                f"layer normalisation over {features} column gives 0 whatever goes in; expected 2 columns or more; "
                f"choose a larger embed_dim (more scale or base_dim, or fewer sets)"
            )
        self.weight = nn.Parameter(torch.ones(num_sets, features))
        self.bias = nn.Parameter(torch.zeros(num_sets, features))

    def forward(self, x_MXH: Tensor) -> Tensor:
        """Normalised x, scaled and shifted."""
        shape = (len(x_MXH), *[1] * (x_MXH.dim() - 2), -1)
        normed_MXH = functional.layer_norm(x_MXH, x_MXH.shape[-1:])
        return torch.addcmul(self.bias.view(shape), normed_MXH, self.weight.view(shape))


def _normed(linear: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    """The norm of the linear map."""
    assert isinstance(linear, (SetLinear, SharedLinear))
    assert isinstance(norm, NormReLUDropout)
    return norm.after(linear, x)


class SetProjection(nn.Sequential):
    """Linear, BatchNorm, ReLU, Dropout per set: the non-linear end of an interaction (Guo et al. 2024, App. B)."""

    def __init__(self, num_sets: int, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__(SetLinear(num_sets, inputs, outputs), NormReLUDropout(num_sets * outputs, dropout))

    def forward(self, x_MBI: Tensor) -> Tensor:
        """h_MBO."""
        linear, norm = self
        return _normed(linear, norm, x_MBI)


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
            layers += [SharedLinear(inputs, outputs), NormReLUDropout(outputs, spec.dropout)]
            inputs = outputs
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, 1))

    def forward(self, streams: tuple[Tensor, ...]) -> Tensor:
        """logit_B of the only stream."""
        (hidden_BH,) = streams
        *layers, last = self.layers
        for linear, norm in zip(layers[::2], layers[1::2], strict=True):
            hidden_BH = _normed(linear, norm, hidden_BH)
        logit_B1: Tensor = last(hidden_BH)
        return logit_B1.squeeze(1)


class LinearTerm(nn.Module):
    """<w, e>: one weight per column of the concatenated embeddings and set, in place of a weight per id."""

    def __init__(self, num_sets: int, inputs: int) -> None:
        super().__init__()
        self.weight = linear_parameter(inputs, num_sets, inputs, 1)

    def forward(self, emb_MBNK: Tensor) -> Tensor:
        """One feature [M, B, 1]."""
        return torch.bmm(flat_fields(emb_MBNK), self.weight)


class SumHead(nn.Module):
    """logit = bias + the sum of the only stream's features: of models that are a sum already."""

    def __init__(self, spec: ModelSpec, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, streams: tuple[Tensor, ...]) -> Tensor:
        """logit_B."""
        (features_BF,) = streams
        return features_BF.sum(1) + self.bias


def attend(query_RTE: Tensor, key_RTE: Tensor, value_RTE: Tensor, scale: float) -> Tensor:
    """softmax(scale * Q K^T) V, each row of R a set, a sample and a head of their own."""
    score_RTT = torch.bmm(query_RTE * scale, key_RTE.transpose(1, 2))
    return torch.bmm(score_RTT.softmax(2), value_RTE)


def flat_fields(emb_MBNK: Tensor) -> Tensor:
    """Fields side by side, x_MBI with I = N*K: field i fills columns i*K to (i+1)*K."""
    return emb_MBNK.flatten(2)


def field_blocks(weight_MII: Tensor, num_fields: int) -> Tensor:
    """Blocks [M, N, N, K, K] of a map x -> x W over flat fields: entry (m, i, j) is W_{i->j} of e_i -> W_{i->j} e_i."""
    dim = weight_MII.shape[2] // num_fields
    blocks_MNKNK = weight_MII.view(-1, num_fields, dim, num_fields, dim)
    return blocks_MNKNK.permute(0, 1, 3, 4, 2)


def pair_indices(num_fields: int) -> Tensor:
    """Fields (i, j) of every pair i < j, shape [2, P], row by row."""
    return torch.triu_indices(num_fields, num_fields, 1)
