"""Zenith: a few wide prime tokens that attend to each other, all parameters per token
(Zhang et al. 2026, arXiv 2601.21285).

Fusion is the tokenwise multi-head self-attention of Zenith++, boost the tokenwise SwiGLU; the sparse experts of
Zenith++ are left out.
Legend: M embedding sets, B batch, N fields, K embedding dimension per set, T tokens, D columns of a token, A heads,
E = D/A, H hidden.
"""

from torch import Tensor, nn
from torch.nn import functional

from recscale.models.families import Family, Interaction
from recscale.models.layers import MLPHead, SetLayerNorm, SetProjection, attend
from recscale.models.tokens import FieldTokens, TokenLinear, TokenMatrix, round_up
from recscale.records import ModelSpec

EXPANSION = 2
"""Width of a token's SwiGLU over D."""


class PrimeTokens(nn.Module):
    """Groups of whole fields, each through an MLP of its own (the source's prime tokenization)."""

    def __init__(self, spec: ModelSpec, num_fields: int) -> None:
        super().__init__()
        self.fields = FieldTokens(num_fields, spec.tokens)
        inputs = self.fields.width * spec.embed_dim
        self.width = round_up(inputs, spec.attention_heads)
        self.inner = TokenLinear(spec.num_sets, spec.tokens, inputs, self.width)
        self.outer = TokenLinear(spec.num_sets, spec.tokens, self.width, self.width)

    def forward(self, emb_MBNK: Tensor) -> Tensor:
        """x_MTBD."""
        x_MTBD: Tensor = self.outer(functional.silu(self.inner(self.fields(emb_MBNK))))
        return x_MTBD


class TokenAttention(nn.Module):
    """Multi-head attention over the tokens, with W_Q, W_K, W_V per token and head (the source's token fusion)."""

    def __init__(self, num_sets: int, tokens: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.maps = TokenMatrix(num_sets, tokens, width, 3 * width)

    def forward(self, x_MTBD: Tensor) -> Tensor:
        """x_MTBD, heads side by side."""
        sets, tokens, rows, width = x_MTBD.shape
        maps_MTB3AE = self.maps(x_MTBD).view(sets, tokens, rows, 3, self.heads, -1)
        query_RTE, key_RTE, value_RTE = maps_MTB3AE.permute(3, 0, 2, 4, 1, 5).flatten(1, 3).unbind(0)
        out_RTE = attend(query_RTE, key_RTE, value_RTE, scale=(width // self.heads) ** -0.5)
        return out_RTE.view(sets, rows, self.heads, tokens, -1).permute(0, 3, 1, 2, 4).flatten(3)


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
    """S = LN(Attention(X) + X), X' = LN(SwiGLU(S) + S)."""

    def __init__(self, spec: ModelSpec, width: int) -> None:
        super().__init__()
        self.fusion = TokenAttention(spec.num_sets, spec.tokens, width, spec.attention_heads)
        self.fusion_norm = SetLayerNorm(spec.num_sets, width)
        self.boost = TokenSwiGLU(spec.num_sets, spec.tokens, width)
        self.boost_norm = SetLayerNorm(spec.num_sets, width)

    def forward(self, x_MTBD: Tensor) -> Tensor:
        """X'_MTBD."""
        s_MTBD = self.fusion_norm(self.fusion(x_MTBD) + x_MTBD)
        out_MTBD: Tensor = self.boost_norm(self.boost(s_MTBD) + s_MTBD)
        return out_MTBD


class ZenithInteraction(Interaction):
    """Prime tokens, blocks, then the projection of all tokens side by side.

    A token is as wide as what it reads, rounded up to whole heads.
    """

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
