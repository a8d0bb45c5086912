"""The compiled layer against torch's BatchNorm, ReLU and dropout."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional

from recscale.kernels import norm_relu_dropout
from recscale.models.layers import SetLinear
from recscale.models.normalisation import NormReLUDropout


def _layer(features: int, dropout: float) -> NormReLUDropout:
    layer = NormReLUDropout(features, dropout)
    nn.init.uniform_(layer.weight, 0.5, 1.5)
    nn.init.normal_(layer.bias)
    return layer


def test_statistics_are_per_set():
    x_MBH = torch.randn(3, 500, 4) * torch.tensor([1.0, 10.0, 100.0]).view(3, 1, 1) + 7
    layer = NormReLUDropout(12, 0.0)
    nn.init.constant_(layer.bias, 10)  # far above 0, where ReLU changes nothing
    for normed_MBH in (layer(x_MBH), layer(x_MBH.double().float().requires_grad_())):
        torch.testing.assert_close(normed_MBH.mean(1), torch.full((3, 4), 10.0), rtol=0, atol=1e-4)
        torch.testing.assert_close(normed_MBH.std(1, correction=0), torch.ones(3, 4), rtol=0, atol=1e-3)


@pytest.mark.parametrize("shape", [(3, 33, 300), (1, 64, 5), (40, 130)])
def test_without_dropout_it_is_torchs_own_forward_and_backward(shape):
    torch.manual_seed(0)
    sets, rows, features = (1, *shape) if len(shape) == 2 else shape
    layer, reference = _layer(sets * features, 0.0), nn.BatchNorm1d(sets * features)
    reference.load_state_dict(layer.state_dict())
    x = (torch.randn(shape) * 3 + 100).requires_grad_()
    plain = x.detach().double().requires_grad_()
    y = layer(x)
    flat = plain.reshape(sets, rows, features).transpose(0, 1).reshape(rows, -1)
    expected = functional.relu(reference.double()(flat)).view(rows, sets, features).transpose(0, 1).reshape(shape)
    torch.testing.assert_close(y.double(), expected, rtol=1e-4, atol=1e-4)
    weights = torch.randn(shape)
    (y * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(x.grad.double(), plain.grad, rtol=1e-3, atol=1e-4)
    for ours, theirs in zip(layer.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-3, atol=1e-3)
    for ours, theirs in zip(layer.buffers(), reference.buffers(), strict=True):
        torch.testing.assert_close(ours.double(), theirs.double(), rtol=1e-5, atol=1e-5)
    layer.eval(), reference.eval()
    again = functional.relu(reference(flat)).view(rows, sets, features).transpose(0, 1).reshape(shape)
    torch.testing.assert_close(layer(x).double(), again, rtol=1e-4, atol=1e-4)


def test_dropped_features_are_zero_kept_ones_scaled_and_their_gradients_follow():
    torch.manual_seed(0)
    layer, x = _layer(200, 0.25), torch.randn(100, 200, requires_grad=True)
    y = layer(x)
    whole = functional.relu(functional.batch_norm(x.detach(), None, None, layer.weight, layer.bias, training=True))
    kept = y > 0
    torch.testing.assert_close(y[kept], whole[kept] / 0.75)
    assert stats.binomtest(int((kept & (whole > 0)).sum()), int((whole > 0).sum()), 0.75).pvalue > 1e-3
    plain = x.detach().clone().requires_grad_()
    (
        functional.relu(functional.batch_norm(plain, None, None, layer.weight, layer.bias, training=True)) * kept / 0.75
    ).square().sum().backward()
    layer.zero_grad()
    y.square().sum().backward()
    torch.testing.assert_close(x.grad, plain.grad, rtol=1e-3, atol=1e-4)


def test_what_is_not_finite_stays_so_as_in_torch():
    x = torch.randn(50, 4)
    x[3, 1] = torch.nan
    x[:, 2] = torch.inf
    layer = _layer(4, 0.0)
    y = layer(x.requires_grad_())
    assert y.isnan().any(0).tolist() == [False, True, True, False]
    y.sum().backward()
    assert x.grad.isnan().any(0).tolist() == [False, True, True, False]


def test_what_is_dropped_is_independent_over_features_rows_sets_and_calls():
    x_MBH = np.random.default_rng(0).normal(size=(2, 256, 64)).astype(np.float32)
    gamma, beta = np.zeros((2, 64), np.float32), np.ones((2, 64), np.float32)
    kept = np.stack([norm_relu_dropout.forward(x_MBH, gamma, beta, 1e-5, 2**31, seed)[0] > 0 for seed in range(20)])
    assert abs(kept.mean() - 0.5) < 4 * 0.5 / np.sqrt(kept.size)
    for axis, size in enumerate(kept.shape):
        if size > 1:
            pairs = np.take(kept, range(1, size), axis) == np.take(kept, range(size - 1), axis)
            assert abs(pairs.mean() - 0.5) < 4 * 0.5 / np.sqrt(pairs.size)
    means = kept.mean((0, 1, 2))
    assert stats.chisquare(means * 20 * 512, np.full(64, kept.mean() * 20 * 512)).pvalue > 1e-3


def test_the_seed_decides_and_a_probability_of_nought_draws_nothing():
    x = torch.randn(16, 8)
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(_layer(8, 0.0)(x))
        layer = NormReLUDropout(8, 0.5)
        results.append(layer(x))
    assert torch.equal(results[1], results[3])
    state = torch.get_rng_state()
    NormReLUDropout(8, 0.0)(x)
    assert torch.equal(torch.get_rng_state(), state)


def test_bfloat16_is_computed_in_float32():
    torch.manual_seed(0)
    layer, x = _layer(8, 0.0), torch.randn(16, 8).bfloat16().requires_grad_()
    y = layer(x)
    assert y.dtype is torch.float32
    torch.testing.assert_close(y, _same(layer)(x.detach().float()))
    y.sum().backward()
    assert x.grad.dtype is torch.bfloat16


def _same(layer):
    other = _layer(layer.num_features, layer.dropout)
    other.load_state_dict(layer.state_dict())
    return other


def test_other_precisions_and_one_row_take_torchs_way():
    x = torch.randn(16, 8)
    layer = NormReLUDropout(8, 0.0)
    exact = layer.double()(x.double())
    torch.testing.assert_close(layer.float()(x).double(), exact, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="more than 1 value"):
        layer(x[:1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_after_a_linear_map_it_is_both_but_for_the_gradient_that_cancels(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    linear, x = SetLinear(2, 5, 300).to(dtype), torch.randn(2, 64, 5, dtype=dtype)
    layer, plain = (_layer(600, 0.0).to(dtype) for _ in range(2))
    plain.load_state_dict(layer.state_dict())
    for _ in range(3):
        y, expected = layer.after(linear, x), plain(linear(x))
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(layer.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    weights = torch.randn_like(y)
    own = torch.autograd.grad((y * weights).sum(), (linear.weight, linear.bias))
    reference = torch.autograd.grad((expected * weights).sum(), (linear.weight, linear.bias))
    torch.testing.assert_close(own[0], reference[0], rtol=1e-3, atol=1e-3)
    assert not own[1].any()
    torch.testing.assert_close(own[1], reference[1], rtol=0, atol=1e-4)
    layer.eval(), plain.eval()
    torch.testing.assert_close(layer.after(linear, x), plain(linear(x)), rtol=1e-4, atol=1e-4)
