"""The compiled stack of cross layers against the same layers in torch's operations, and by its definition."""

import pytest
import torch
from torch import nn

from recscale.models.cross import crossed
from recscale.models.layers import SetLinear


def _layers(sets: int, inputs: int, number: int) -> nn.ModuleList:
    torch.manual_seed(0)
    return nn.ModuleList(SetLinear(sets, inputs, inputs) for _ in range(number))


@pytest.mark.parametrize(("sets", "rows", "inputs", "number"), [(1, 33, 70, 4), (3, 8, 5, 1), (2, 1, 1, 3)])
@pytest.mark.usefixtures("library")
def test_forward_and_backward_are_those_of_the_definition(sets: int, rows: int, inputs: int, number: int) -> None:
    layers = _layers(sets, inputs, number)
    exact = _layers(sets, inputs, number).double()
    x0 = torch.randn(sets, rows, inputs).transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
    reference = x0.detach().double().requires_grad_()
    y, expected = crossed(x0, layers), reference
    for layer in exact:
        expected = reference * (expected @ layer.weight + layer.bias) + expected
    torch.testing.assert_close(y.double(), expected, rtol=1e-4, atol=1e-4)
    weights = torch.randn(y.shape)
    given = weights.clone()
    y.backward(given)
    expected.backward(weights.double())
    torch.testing.assert_close(given, weights, rtol=0, atol=0)
    torch.testing.assert_close(x0.grad.double(), reference.grad, rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(layers.parameters(), exact.parameters(), strict=True):
        torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(crossed(reference, exact), expected)


def test_under_autocast_products_are_in_bfloat16_and_sums_in_float32() -> None:
    layers, x0 = _layers(2, 40, 3), torch.randn(2, 64, 40, requires_grad=True)
    crossed(x0, layers).square().mean().backward()
    whole = [parameter.grad.clone() for parameter in (x0, *layers.parameters())]
    for parameter in (x0, *layers.parameters()):
        parameter.grad = None
    with torch.autocast("cpu", torch.bfloat16):
        y = crossed(x0, layers)
    assert y.dtype is torch.float32
    y.square().mean().backward()
    for parameter, expected in zip((x0, *layers.parameters()), whole, strict=True):
        assert parameter.grad.dtype is torch.float32
        off = (parameter.grad - expected).norm() / expected.norm()
        assert 1e-5 < off < 2e-2
