import pytest
import torch
from torch.nn import functional


def normed(pieces, name, x):
    weight, bias = pieces.get(f"interaction.{name}.weight")[0], pieces.get(f"interaction.{name}.bias")[0]
    return functional.layer_norm(x, x.shape[-1:], weight, bias)


def token_linear(pieces, name, token, x):
    weight, bias = (pieces.get(f"interaction.{name}.{part}")[0, token] for part in ("weight", "bias"))
    return functional.linear(x, weight.T, bias[0])


@pytest.mark.parametrize(
    ("tokens", "read"), [(2, [[0, 1, 2], [2, 3, 4]]), (5, [[0], [1], [2], [3], [4]]), (3, [[0, 1], [1, 2], [3, 4]])]
)
def test_one_set_is_the_single_embedding_model(assert_single_embedding_equals, tokens, read):
    """Token by token, in a Python list."""

    def reference(pieces, fields):
        x = [token_linear(pieces, "token", t, torch.cat([fields[i] for i in group], 1)) for t, group in enumerate(read)]
        for block in range(2):
            name = f"blocks.{block}"
            mixed = [torch.cat([token.chunk(tokens, 1)[part] for token in x], 1) for part in range(tokens)]
            s = [normed(pieces, f"{name}.mix_norm", a + b) for a, b in zip(mixed, x, strict=True)]
            hidden = [functional.gelu(token_linear(pieces, f"{name}.inner", t, s[t])) for t in range(tokens)]
            out = [token_linear(pieces, f"{name}.outer", t, hidden[t]) for t in range(tokens)]
            x = [normed(pieces, f"{name}.out_norm", a + b) for a, b in zip(out, s, strict=True)]
        return pieces.head("head", pieces.projection("interaction.projection", sum(x) / tokens))

    assert_single_embedding_equals("rankmixer", reference, tokens=tokens)


def test_dense_parameters_by_hand(dense_params):
    """39 fields and 8 tokens: a token reads five fields of 10 columns, 50, and is 56 wide, a multiple of 8."""
    token = 8 * (50 * 56 + 56)
    block = 8 * (56 * 224 + 224 + 224 * 56 + 56) + 2 * 2 * 56
    projection, head = 56 * 400 + 400 + 2 * 400, 400 * 400 + 400 + 2 * 400 + 400 + 1
    assert dense_params("rankmixer", 10) == 10 * (token + 2 * block + projection) + head
