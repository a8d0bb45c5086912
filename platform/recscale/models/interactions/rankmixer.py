"""RankMixer: tokens that swap their parts, and a feed-forward network per token (Zhu et al. 2025, arXiv 2507.15551).

Dense per-token networks: the source's sparse experts are left out.
Legend: M embedding sets, B batch, N fields, K embedding dimension per set, T tokens, D columns of a token, H hidden.
"""

from torch import Tensor, nn
from torch.nn import functional

from recscale.models.families import Family, Interaction
from recscale.models.layers import MLPHead, SetLayerNorm, SetProjection
from recscale.models.tokens import FieldTokens, TokenLinear, mix_tokens, round_up
from recscale.records import ModelSpec

EXPANSION = 4
"""Width of a token's feed-forward network over D, the source's k."""


class RankMixerBlock(nn.Module):
    """S = LN(TokenMixing(X) + X), X' = LN(PFFN(S) + S) (the source's block)."""

    def __init__(self, num_sets: int, tokens: int, width: int) -> None:
        super().__init__()
        self.mix_norm = SetLayerNorm(num_sets, width)
        self.inner = TokenLinear(num_sets, tokens, width, EXPANSION * width)
        self.outer = TokenLinear(num_sets, tokens, EXPANSION * width, width)
        self.out_norm = SetLayerNorm(num_sets, width)

    def forward(self, x_MTBD: Tensor) -> Tensor:
        """X'_MTBD."""
        s_MTBD = self.mix_norm(mix_tokens(x_MTBD) + x_MTBD)
        out_MTBD: Tensor = self.out_norm(self.outer(functional.gelu(self.inner(s_MTBD))) + s_MTBD)
        return out_MTBD


class RankMixerInteraction(Interaction):
    """Tokens of whole fields by a map each, blocks, the mean of the tokens, the projection.

    A token is as wide as what it reads, rounded up to T parts.
    """

    def __init__(self, spec: ModelSpec, num_fields: int) -> None:
        super().__init__()
        self.widths = (spec.hidden_sizes[0],)
        self.fields = FieldTokens(num_fields, spec.tokens)
        inputs = self.fields.width * spec.embed_dim
        width = round_up(inputs, spec.tokens)
        self.token = TokenLinear(spec.num_sets, spec.tokens, inputs, width)
        self.blocks = nn.ModuleList(RankMixerBlock(spec.num_sets, spec.tokens, width) for _ in range(spec.block_layers))
        self.projection = SetProjection(spec.num_sets, width, spec.hidden_sizes[0], spec.dropout)

    def forward(self, emb_MBNK: Tensor) -> tuple[Tensor]:
        """One stream h_MBH."""
        x_MTBD = self.token(self.fields(emb_MBNK))
        for block in self.blocks:
            x_MTBD = block(x_MTBD)
        return (self.projection(x_MTBD.mean(1)),)


FAMILY = Family("rankmixer", RankMixerInteraction, MLPHead)
