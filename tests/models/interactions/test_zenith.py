import pytest
import torch
from torch.nn import functional


def normed(pieces, name, x):
    weight, bias = pieces.get(f"interaction.{name}.weight")[0], pieces.get(f"interaction.{name}.bias")[0]
    return functional.layer_norm(x, x.shape[-1:], weight, bias)


def token_linear(pieces, name, token, x):
    weight, bias = (pieces.get(f"interaction.{name}.{part}")[0, token] for part in ("weight", "bias"))
    return functional.linear(x, weight.T, bias[0])


def attended(x, maps, heads):
    """Tokens after attention, each token with its own maps to query, key and value, head by head."""
    parts = [(token @ weight).chunk(3, 1) for token, weight in zip(x, maps, strict=True)]
    query, key, value = (torch.stack([part[which] for part in parts], 1) for which in range(3))
    by_head = zip(*(tensor.chunk(heads, 2) for tensor in (query, key, value)), strict=True)
    return torch.cat([functional.scaled_dot_product_attention(*tensors) for tensors in by_head], 2).unbind(1)


@pytest.mark.parametrize(("tokens", "heads"), [(3, 2), (5, 5), (8, 1)])
def test_one_set_is_the_single_embedding_model(assert_single_embedding_equals, tokens, heads):
    """Token by token, in a Python list."""

    def reference(pieces, fields):
        width = -(-len(fields) // tokens)
        starts = [token * len(fields) // tokens for token in range(tokens)]
        read = [torch.cat(fields[start : start + width], 1) for start in starts]
        x = [
            token_linear(pieces, "prime.outer", t, functional.silu(token_linear(pieces, "prime.inner", t, read[t])))
            for t in range(tokens)
        ]
        for block in range(2):
            name = f"blocks.{block}"
            heard = attended(x, pieces.get(f"interaction.{name}.fusion.maps.weight")[0], heads)
            s = [normed(pieces, f"{name}.fusion_norm", a + b) for a, b in zip(heard, x, strict=True)]
            inner = pieces.get(f"interaction.{name}.boost.inner.weight")[0]
            outer = pieces.get(f"interaction.{name}.boost.outer.weight")[0]
            boosted = []
            for t in range(tokens):
                gate, up = (s[t] @ inner[t]).chunk(2, 1)
                boosted.append((functional.silu(gate) * up) @ outer[t])
            x = [normed(pieces, f"{name}.boost_norm", a + b) for a, b in zip(boosted, s, strict=True)]
        return pieces.head("head", pieces.projection("interaction.projection", torch.cat(x, 1)))

    assert_single_embedding_equals("zenith", reference, tokens=tokens, attention_heads=heads)


def test_dense_parameters_by_hand(dense_params):
    """39 fields and 8 tokens: a token reads five fields of 10 columns, 50, and is 51 wide with three heads."""
    prime = 8 * (50 * 51 + 51 + 51 * 51 + 51)
    block = 8 * (51 * 3 * 51 + 51 * 4 * 51 + 2 * 51 * 51) + 2 * 2 * 51
    projection, head = 8 * 51 * 400 + 400 + 2 * 400, 400 * 400 + 400 + 2 * 400 + 400 + 1
    assert dense_params("zenith", 10, attention_heads=3) == 10 * (prime + 2 * block + projection) + head
