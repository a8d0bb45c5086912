"""Wukong: stacked factorisation machines (Zhang et al. 2024, arXiv 2403.02545).

Legend: M embedding sets, B batch, K embedding dimension per set, N features that a block reads (the fields, or what the
block before put out), T = spec.tokens features that it puts out, G products that each feature keeps, F and L features
of the two halves of a block, T = F + L, H hidden.
"""

import torch
from torch import Tensor, nn

from recscale.errors import ConfigError
from recscale.models.families import Family, Interaction
from recscale.models.layers import MLPHead, SetLayerNorm, SetLinear, SetProjection, linear_parameter
from recscale.records import ModelSpec


class WukongBlock(nn.Module):
    """X' = LN(concat(FMB(X), LCB(X)) + X), X projected where the number of features changes (sec. 3 of the source).

    FMB = MLP(LN(flatten(X X^T Y))) with Y [N, G], G = T (its optimised FM); LCB = W_L X. Y^T X, W_L X and
    the projected X are one product. FMB puts out F = ceil(T/2) features and its MLP is hidden_sizes[0] wide.
    """

    def __init__(self, spec: ModelSpec, features: int) -> None:
        super().__init__()
        sets, dim, hidden = spec.num_sets, spec.embed_dim, spec.hidden_sizes[0]
        self.from_products, compressed = spec.tokens - spec.tokens // 2, spec.tokens // 2
        self.parts = [spec.tokens, compressed, spec.tokens if features != spec.tokens else 0]
        self.mix = linear_parameter(features, sets, sum(self.parts), features)
        self.product_norm = SetLayerNorm(sets, features * spec.tokens)
        self.inner = SetLinear(sets, features * spec.tokens, hidden)
        self.outer = SetLinear(sets, hidden, self.from_products * dim)
        self.out_norm = SetLayerNorm(sets, dim)

    def forward(self, x_MNBK: Tensor) -> Tensor:
        """X'_MTBK."""
        mixed_MXBK = torch.bmm(self.mix, x_MNBK.flatten(2)).view(len(x_MNBK), -1, *x_MNBK.shape[2:])
        key_MGBK, compressed_MLBK, projected_MTBK = torch.split(mixed_MXBK, self.parts, 1)
        made_MFBK = self._products(x_MNBK, key_MGBK)
        residual_MTBK = projected_MTBK if self.parts[2] else x_MNBK
        out_MTBK: Tensor = self.out_norm(torch.cat((made_MFBK, compressed_MLBK), 1) + residual_MTBK)
        return out_MTBK

    def _products(self, x_MNBK: Tensor, key_MGBK: Tensor) -> Tensor:
        """FMB(X), [M, F, B, K]: inner products of the features with the G mixed ones, row by row, then the MLP."""
        sets, _, rows, dim = x_MNBK.shape
        feature_RNK = x_MNBK.transpose(1, 2).flatten(0, 1)
        key_RKG = key_MGBK.permute(0, 2, 3, 1).flatten(0, 1)
        product_MBI = torch.bmm(feature_RNK, key_RKG).view(sets, rows, -1)
        made_MBX: Tensor = self.outer(self.inner(self.product_norm(product_MBI)).relu())
        return made_MBX.view(sets, rows, self.from_products, dim).transpose(1, 2)


class WukongInteraction(Interaction):
    """Blocks over the fields, then the projection of the last block's features side by side."""

    def __init__(self, spec: ModelSpec, num_fields: int) -> None:
        super().__init__()
        if spec.tokens < 2:
            raise ConfigError(
                f"wukong: tokens is {spec.tokens}; expected 2 or more: one from products, one from linear compression"
            )
        self.widths = (spec.hidden_sizes[0],)
        features = (num_fields, *[spec.tokens] * (spec.block_layers - 1))
        self.blocks = nn.ModuleList(WukongBlock(spec, count) for count in features)
        self.projection = SetProjection(spec.num_sets, spec.tokens * spec.embed_dim, spec.hidden_sizes[0], spec.dropout)

    def forward(self, emb_MBNK: Tensor) -> tuple[Tensor]:
        """One stream h_MBH."""
        x_MTBK = emb_MBNK.transpose(1, 2)
        for block in self.blocks:
            x_MTBK = block(x_MTBK)
        return (self.projection(x_MTBK.transpose(1, 2).flatten(2)),)


FAMILY = Family("wukong", WukongInteraction, MLPHead)
