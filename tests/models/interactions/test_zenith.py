import pytest
import torch
from torch.nn import functional


def normed(pieces, name, x):
    weight, bias = pieces.get(f"interaction.{name}.weight")[0], pieces.get(f"interaction.{name}.bias")[0]
    return functional.layer_norm(x, x.shape[-1:], weight, bias)


def token_mlp(pieces, name, x):
    inner, outer = (pieces.get(f"interaction.{name}.{part}.weight")[0] for part in ("inner", "outer"))
    return [functional.silu(token @ inner[t]) @ outer[t] for t, token in enumerate(x)]


def fused(x, weight):
    """Token t is the sum of all tokens, each times its product with t, through W_R; part h of all makes new token h."""
    width, rows = len(weight), []
    for token in x:
        heard = sum((token * other).sum(1, keepdim=True) * other for other in x)
        rows.append((heard @ weight / (len(x) * width)).chunk(len(x), 1))
    return [torch.cat(parts, 1) for parts in zip(*rows, strict=True)]


@pytest.mark.parametrize("tokens", [3, 5, 8, 1])
def test_one_set_is_the_single_embedding_model(assert_single_embedding_equals, tokens):
    """Token by token, in a Python list."""

    def reference(pieces, fields):
        width = -(-len(fields) // tokens)
        starts = [token * len(fields) // tokens for token in range(tokens)]
        read = [torch.cat(fields[start : start + width], 1) for start in starts]
        x = [normed(pieces, "prime.out_norm", token) for token in token_mlp(pieces, "prime.mlp", read)]
        for block in range(2):
            name = f"blocks.{block}"
            new = fused(x, pieces.get(f"interaction.{name}.fusion.weight")[0])
            own = token_mlp(pieces, f"{name}.mlp", x)
            s = [normed(pieces, f"{name}.fusion_norm", a + b) for a, b in zip(new, own, strict=True)]
            inner = pieces.get(f"interaction.{name}.boost.inner.weight")[0]
            outer = pieces.get(f"interaction.{name}.boost.outer.weight")[0]
            boosted = []
            for t in range(tokens):
                gate, up = (s[t] @ inner[t]).chunk(2, 1)
                boosted.append((functional.silu(gate) * up) @ outer[t])
            x = [normed(pieces, f"{name}.boost_norm", a + b) for a, b in zip(boosted, s, strict=True)]
        return pieces.head("head", pieces.projection("interaction.projection", torch.cat(x, 1)))

    assert_single_embedding_equals("zenith", reference, tokens=tokens)


@pytest.mark.parametrize("embedding_size", [0.1, 1.0, 1e3])
@pytest.mark.parametrize(("tokens", "scale"), [(2, 0.6), (8, 3.0), (4, 96.0)])
def test_the_cube_neither_grows_nor_vanishes(make_model, ids_BN, embedding_size, tokens, scale):
    """A mean over T of cosine-weighted tokens, through a map that keeps 1/3 of the variance, whatever the embeddings.

    The weight of a token's own part is 1 / T, and where all tokens are alike the weights add up to 1.
    """
    model = make_model("zenith", tokens=tokens, scale=scale)
    block = model.interaction.blocks[0]
    x_MTBD = model.interaction.prime(model.tables(ids_BN) * embedding_size)
    assert 0.5 / tokens < block.fusion(x_MTBD).std() * 3**0.5 < 1
    with torch.no_grad():
        model.tables.weight.mul_(embedding_size)
    assert model(ids_BN).abs().max() < 2


def test_heads_are_no_setting_of_it(make_model, ids_BN):
    one, many = (make_model("zenith", attention_heads=heads) for heads in (1, 7))
    assert torch.equal(one(ids_BN), many(ids_BN))


def test_dense_parameters_by_hand(dense_params):
    """39 fields and 8 tokens: a token reads five fields of 10 columns, 50, and is 56 wide, a multiple of 8."""
    prime = 8 * (50 * 56 + 56 * 56) + 2 * 56
    mlp, boost = 8 * 2 * 56 * 56, 8 * (56 * 4 * 56 + 2 * 56 * 56)
    block = 56 * 56 + mlp + boost + 2 * 2 * 56
    projection, head = 8 * 56 * 400 + 400 + 2 * 400, 400 * 400 + 400 + 2 * 400 + 400 + 1
    assert dense_params("zenith", 10) == 10 * (prime + 2 * block + projection) + head
