import pytest
import torch
from torch.nn import functional


@pytest.mark.parametrize(("heads", "width"), [(2, 12), (5, 15), (1, 12)])
def test_one_set_is_the_single_embedding_model(assert_single_embedding_equals, heads, width):
    """Head by head; the width of an attended field is embed_dim = 12, rounded up to whole heads."""

    def reference(pieces, fields):
        x_BNK = torch.stack(fields, 1)
        for layer in range(2):
            maps = pieces.get(f"interaction.layers.{layer}.weight")[0].split(width, 1)
            query, key, value, residual = (x_BNK @ weight for weight in maps)
            columns = torch.arange(width).chunk(heads)
            heard = [
                functional.scaled_dot_product_attention(*part, scale=1.0)
                for part in ((query[..., c], key[..., c], value[..., c]) for c in columns)
            ]
            x_BNK = functional.relu(torch.cat(heard, 2) + residual)
        return pieces.head("head", pieces.projection("interaction.projection", x_BNK.flatten(1)))

    assert_single_embedding_equals("autoint", reference, attention_heads=heads)


def test_dense_parameters_by_hand(dense_params):
    maps, projection = 10 * 4 * 10, 39 * 10 * 400 + 400 + 2 * 400
    head = 400 * 400 + 400 + 2 * 400 + 400 + 1
    assert dense_params("autoint", 10, block_layers=3) == 10 * (3 * maps + projection) + head
