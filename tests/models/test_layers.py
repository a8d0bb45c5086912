import pytest
import torch
from torch import nn

from recscale.errors import ConfigError
from recscale.models.layers import SetLayerNorm, SetLinear, SetMLP, attend, pair_indices


def test_set_linear_weights_are_distributed_like_those_of_torch_linear():
    torch.manual_seed(0)
    layer, reference = SetLinear(6, 300, 200), nn.Linear(300, 200)
    for ours, theirs in ((layer.weight, reference.weight), (layer.bias, reference.bias)):
        per_set_M = ours.flatten(1).std(1)
        torch.testing.assert_close(per_set_M, theirs.std().expand(6), rtol=0.15, atol=0)
        assert ours.abs().max() <= 300**-0.5


def test_set_linear_is_torch_linear_per_set():
    layer, x_MBI = SetLinear(3, 5, 4), torch.randn(3, 8, 5)
    expected = [nn.functional.linear(x_MBI[m], layer.weight[m].T, layer.bias[m, 0]) for m in range(3)]
    torch.testing.assert_close(layer(x_MBI), torch.stack(expected))


@pytest.mark.parametrize("shape", [(3, 8, 4), (3, 2, 8, 4)])
def test_layer_norm_is_torchs_per_set(shape):
    layer, x_MXH = SetLayerNorm(3, 4), torch.randn(shape)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    expected = [nn.functional.layer_norm(x_MXH[m], (4,), layer.weight[m], layer.bias[m]) for m in range(3)]
    torch.testing.assert_close(layer(x_MXH), torch.stack(expected))


def test_layer_norm_of_one_column_is_refused():
    with pytest.raises(ConfigError, match=r"1 column .* larger embed_dim"):
        SetLayerNorm(3, 1)


def test_attention_is_torchs():
    query, key, value = (torch.randn(6, 5, 4) for _ in range(3))
    expected = nn.functional.scaled_dot_product_attention(query, key, value, scale=0.3)
    torch.testing.assert_close(attend(query, key, value, scale=0.3), expected)


def test_dropout_thins_hidden_features_in_training_only():
    torch.manual_seed(0)
    mlp, x_MBI = SetMLP(2, 5, (300,), dropout=0.5), torch.randn(2, 64, 5)
    dropped = (mlp.train()(x_MBI) == 0).float().mean()
    kept = (mlp.eval()(x_MBI) == 0).float().mean()
    assert 0.7 < dropped < 0.8
    assert 0.4 < kept < 0.6


def test_pairs_are_every_field_with_every_later_one():
    assert pair_indices(4).T.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
