"""Tokens: a few wide vectors made of fields, each token with parameters of its own.

Legend: M embedding sets, B batch, N fields, K embedding dimension per set, T tokens, W fields that a token reads,
I inputs of a token, O outputs, D columns of a token.
"""

import torch
from torch import Tensor, nn

from recscale.models.layers import linear_parameter
from recscale.models.products import set_products


class FieldTokens(nn.Module):
    """Tokens of whole fields, next to each other in column order: emb_MBNK -> x_MTBI with I = W*K.

    Token t reads W = ceil(N/T) fields from floor(t*N/T) on. Where T does not divide N, neighbours share a field; where
    there are more tokens than fields, several read the same one: every field is read, and no token is padding.
    """

    fields_TW: Tensor  # noqa: N815

    def __init__(self, num_fields: int, tokens: int) -> None:
        super().__init__()
        first_T = torch.arange(tokens) * num_fields // tokens
        self.width = -(-num_fields // tokens)
        self.register_buffer("fields_TW", first_T.unsqueeze(1) + torch.arange(self.width), persistent=False)

    def forward(self, emb_MBNK: Tensor) -> Tensor:
        """x_MTBI."""
        sets, rows = emb_MBNK.shape[:2]
        read_RSK = emb_MBNK.flatten(0, 1).index_select(1, self.fields_TW.flatten())
        return read_RSK.view(sets, rows, len(self.fields_TW), -1).transpose(1, 2)


class TokenLinear(nn.Module):
    """One affine map per set and token, x_MTBI -> y_MTBO; distributed like torch's Linear."""

    def __init__(self, num_sets: int, tokens: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = linear_parameter(inputs, num_sets, tokens, inputs, outputs)
        self.bias = linear_parameter(inputs, num_sets, tokens, 1, outputs)

    def forward(self, x_MTBI: Tensor) -> Tensor:
        """x W + b of every token."""
        y_RBO = set_products(x_MTBI.flatten(0, 1), self.weight.flatten(0, 1), self.bias.flatten(0, 1))
        return y_RBO.view(*x_MTBI.shape[:3], -1)


class TokenMatrix(nn.Module):
    """One linear map per set and token without a bias, x_MTBI -> y_MTBO."""

    def __init__(self, num_sets: int, tokens: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = linear_parameter(inputs, num_sets, tokens, inputs, outputs)

    def forward(self, x_MTBI: Tensor) -> Tensor:
        """x W of every token."""
        y_RBO = set_products(x_MTBI.flatten(0, 1), self.weight.flatten(0, 1))
        return y_RBO.view(*x_MTBI.shape[:3], -1)


def mix_tokens(x_MTBD: Tensor) -> Tensor:
    """Cuts every token into T parts; new token h is part h of all tokens, side by side (RankMixer)."""
    sets, tokens, rows, _ = x_MTBD.shape
    return x_MTBD.view(sets, tokens, rows, tokens, -1).transpose(1, 3).flatten(3)


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple that is not below the value."""
    return -(-value // multiple) * multiple
