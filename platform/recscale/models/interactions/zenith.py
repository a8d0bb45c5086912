"""Zenith: a few wide prime tokens that are fused by their products, then boosted one by one
(Zhang et al. 2026, arXiv 2601.21285).

The base model, not Zenith++: neither its attention per token and head nor its sparse experts are built.
Legend: M embedding sets, B batch, N fields, K embedding dimension per set, T tokens, I inputs of a token, D its
columns, R = M*B, Y = B*T, X columns of a wider map, H hidden.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from recscale.models.families import Family, Interaction
from recscale.models.layers import MLPHead, SetLayerNorm, SetProjection, linear_parameter
from recscale.models.products import set_products
from recscale.models.tokens import FieldTokens, TokenMatrix, mix_tokens, round_up
from recscale.records import ModelSpec

EXPANSION = 2
"""Width of a token's SwiGLU over D."""


class TokenMLP(nn.Module):
    """Two linear maps per token with SiLU between, as wide as the output.

    Without biases: beside young, small embeddings they would make every row's tokens the same, and the batch norm of
    the projection would blow up the little that differs.
    """

    def __init__(self, num_sets: int, tokens: int, inputs: int, width: int) -> None:
        super().__init__()
        self.inner = TokenMatrix(num_sets, tokens, inputs, width)
        self.outer = TokenMatrix(num_sets, tokens, width, width)

    def forward(self, x_MTBI: Tensor) -> Tensor:
        """y_MTBD."""
        y_MTBD: Tensor = self.outer(functional.silu(self.inner(x_MTBI)))
        return y_MTBD


class PrimeTokens(nn.Module):
    """Groups of whole fields, each through an MLP of its own (the source's prime tokenization), then normalised.

    A token is as wide as what it reads, rounded up to T parts. The normalisation is ours: with it the first fusion
    cubes tokens of a bounded size, too, however large the embeddings grow.
    """

    def __init__(self, spec: ModelSpec, num_fields: int) -> None:
        super().__init__()
        self.fields = FieldTokens(num_fields, spec.tokens)
        inputs = self.fields.width * spec.embed_dim
        self.width = round_up(inputs, spec.tokens)
        self.mlp = TokenMLP(spec.num_sets, spec.tokens, inputs, self.width)
        self.out_norm = SetLayerNorm(spec.num_sets, self.width)

    def forward(self, emb_MBNK: Tensor) -> Tensor:
        """x_MTBD."""
        x_MTBD: Tensor = self.out_norm(self.mlp(self.fields(emb_MBNK)))
        return x_MTBD


class TokenFusion(nn.Module):
    """X X^T X W_R / (T D), re-tokenised: of every row and set, X [T, D] (the source's token fusion).

    Shapes as read here: W_R is [D, D], one per set, the same for all tokens; re-tokenising cuts the [T, D] product into
    T parts of D/T columns, new token h being part h of all rows side by side: T tokens of D columns again. Of
    normalised tokens X X^T / D is their cosines, and T makes each sum a mean: the cube grows with neither.
    """

    def __init__(self, num_sets: int, width: int) -> None:
        super().__init__()
        self.weight = linear_parameter(width, num_sets, width, width)

    def forward(self, x_MTBD: Tensor) -> Tensor:
        """x_MTBD."""
        sets, tokens, rows, width = x_MTBD.shape
        x_RTD = x_MTBD.transpose(1, 2).flatten(0, 1)
        gram_RTT = torch.bmm(x_RTD, x_RTD.transpose(1, 2)) / (tokens * width)
        cube_MYD = torch.bmm(gram_RTT, x_RTD).view(sets, rows * tokens, width)
        fused_MBTD = set_products(cube_MYD, self.weight).view(sets, rows, tokens, width)
        return mix_tokens(fused_MBTD.transpose(1, 2))


class TokenSwiGLU(nn.Module):
    """(SiLU(x W_1) * x W_2) W_3 with matrices per token (the source's token boost)."""

    def __init__(self, num_sets: int, tokens: int, width: int) -> None:
        super().__init__()
        self.inner = TokenMatrix(num_sets, tokens, width, 2 * EXPANSION * width)
        self.outer = TokenMatrix(num_sets, tokens, EXPANSION * width, width)

    def forward(self, x_MTBD: Tensor) -> Tensor:
        """x_MTBD."""
        gate_MTBX, up_MTBX = self.inner(x_MTBD).chunk(2, 3)
        out_MTBD: Tensor = self.outer(functional.silu(gate_MTBX) * up_MTBX)
        return out_MTBD


class ZenithBlock(nn.Module):
    """S = LN(fusion of X + MLP(X)), X' = LN(SwiGLU(S) + S); the MLP is read as one per token."""

    def __init__(self, spec: ModelSpec, width: int) -> None:
        super().__init__()
        self.fusion = TokenFusion(spec.num_sets, width)
        self.mlp = TokenMLP(spec.num_sets, spec.tokens, width, width)
        self.fusion_norm = SetLayerNorm(spec.num_sets, width)
        self.boost = TokenSwiGLU(spec.num_sets, spec.tokens, width)
        self.boost_norm = SetLayerNorm(spec.num_sets, width)

    def forward(self, x_MTBD: Tensor) -> Tensor:
        """X'_MTBD."""
        s_MTBD = self.fusion_norm(self.fusion(x_MTBD) + self.mlp(x_MTBD))
        out_MTBD: Tensor = self.boost_norm(self.boost(s_MTBD) + s_MTBD)
        return out_MTBD


class ZenithInteraction(Interaction):
    """Prime tokens, blocks, then the projection of all tokens side by side."""

    def __init__(self, spec: ModelSpec, num_fields: int) -> None:
        super().__init__()
        self.widths = (spec.hidden_sizes[0],)
        self.prime = PrimeTokens(spec, num_fields)
        self.blocks = nn.ModuleList(ZenithBlock(spec, self.prime.width) for _ in range(spec.block_layers))
        inputs = spec.tokens * self.prime.width
        self.projection = SetProjection(spec.num_sets, inputs, spec.hidden_sizes[0], spec.dropout)

    def forward(self, emb_MBNK: Tensor) -> tuple[Tensor]:
        """One stream h_MBH."""
        x_MTBD = self.prime(emb_MBNK)
        for block in self.blocks:
            x_MTBD = block(x_MTBD)
        return (self.projection(x_MTBD.transpose(1, 2).flatten(2)),)


FAMILY = Family("zenith", ZenithInteraction, MLPHead)
