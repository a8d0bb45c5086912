"""The compiled CIN layers against their definition in float64, and against torch's operations."""

import pytest
import torch

from recscale.models import cin
from recscale.models.cin import CINLayer, FirstCINLayer


def definition(layer, x_MJC, emb_MNC):
    products_MJNC = torch.einsum("mjc,mnc->mjnc", x_MJC, emb_MNC)
    return torch.einsum("mqnj,mjnc->mqc", layer.weight, products_MJNC) + layer.bias


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize(
    ("sets", "maps", "fields", "next_maps", "columns"),
    [(1, 39, 39, 16, 1200), (3, 16, 39, 16, 512), (2, 3, 5, 1, 7), (1, 8, 2, 9, 513), (1, 1, 1, 1, 1)],
)
def test_forward_and_backward_are_those_of_the_definition(first, sets, maps, fields, next_maps, columns):
    torch.manual_seed(0)
    layer = FirstCINLayer(sets, fields, next_maps) if first else CINLayer(sets, maps, fields, next_maps)
    emb = torch.randn(sets, columns, fields).transpose(1, 2).requires_grad_()
    x = emb if first else torch.randn(sets, maps, columns, requires_grad=True)
    leaves = [emb, *([] if first else [x]), *layer.parameters()]
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    weights = torch.randn(sets, next_maps, columns)
    y = layer(x, emb)
    (y * weights).sum().backward()
    got = [leaf.grad for leaf in leaves]
    twin = FirstCINLayer(sets, fields, next_maps) if first else CINLayer(sets, maps, fields, next_maps)
    twin.weight, twin.bias = map(torch.nn.Parameter, exact[-2:])
    expected = definition(twin, exact[0 if first else 1], exact[0])
    (expected * weights.double()).sum().backward()
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-4)
    for ours, theirs in zip(got, [exact[0].grad, *([] if first else [exact[1].grad]), *twin.parameters()], strict=True):
        theirs = theirs.grad if isinstance(theirs, torch.nn.Parameter) else theirs
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def test_bfloat16_and_float64_are_left_to_torch():
    layer, emb = FirstCINLayer(2, 5, 4), torch.randn(2, 5, 30)
    with torch.autocast("cpu", torch.bfloat16):
        assert not cin.compiles(emb)
    assert not cin.compiles(emb.double())
    exact = layer.double()(emb.double(), emb.double())
    torch.testing.assert_close(layer.float()(emb, emb).double(), exact, rtol=1e-5, atol=1e-5)
