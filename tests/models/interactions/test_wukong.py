import pytest
import torch
from torch.nn import functional

from recscale.errors import ConfigError


def normed(pieces, name, x):
    weight, bias = pieces.get(f"interaction.{name}.weight")[0], pieces.get(f"interaction.{name}.bias")[0]
    return functional.layer_norm(x, x.shape[-1:], weight, bias)


@pytest.mark.parametrize("tokens", [8, 5, 3])
def test_one_set_is_the_single_embedding_model(assert_single_embedding_equals, tokens):
    """Block by block from its matrices Y, W_L and that of the residual, over five fields (a whole residual at 5)."""

    def reference(pieces, fields):
        x = torch.stack(fields, 1)
        for block in range(2):
            name, features = f"blocks.{block}", x.shape[1]
            y, w_l, *w_r = pieces.get(f"interaction.{name}.mix")[0].split(
                [tokens, tokens // 2, *([tokens] if features != tokens else [])]
            )
            products = (x @ x.transpose(1, 2) @ y.T).flatten(1)
            inner = pieces.linear(f"interaction.{name}.inner", normed(pieces, f"{name}.product_norm", products))
            made = pieces.linear(f"interaction.{name}.outer", functional.relu(inner)).view(len(x), -1, x.shape[2])
            residual = w_r[0] @ x if w_r else x
            x = normed(pieces, f"{name}.out_norm", torch.cat((made, w_l @ x), 1) + residual)
        return pieces.head("head", pieces.projection("interaction.projection", x.flatten(1)))

    assert_single_embedding_equals("wukong", reference, tokens=tokens)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"tokens": 1}, "wukong: tokens is 1; expected 2 or more"), ({"scale": 0.3}, "1 column .* larger embed_dim")],
)
def test_what_no_block_can_do_is_refused_by_name(make_model, changes, message):
    with pytest.raises(ConfigError, match=message):
        make_model("wukong", **changes)


def test_dense_parameters_by_hand(dense_params):
    mixes, norms = (8 + 4 + 8) * 39 + (8 + 4) * 8, 2 * (39 * 8 + 8 * 8) + 2 * 2 * 10
    inner = (39 * 8 + 8 * 8) * 400 + 2 * 400
    outer = 2 * (400 * 4 * 10 + 4 * 10)
    projection, head = 8 * 10 * 400 + 400 + 2 * 400, 400 * 400 + 400 + 2 * 400 + 400 + 1
    assert dense_params("wukong", 10) == 10 * (mixes + norms + inner + outer + projection) + head
