"""Products by oneDNN and by torch against float64: results, gradients and how these lie; and when oneDNN is chosen."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from recscale.models import products

CLOSE = {"rtol": 1e-5, "atol": 1e-4}


@pytest.fixture
def fresh_choice() -> Iterator[None]:
    for choice in (products._onednn, products._wide):
        choice.cache_clear()
    yield
    for choice in (products._onednn, products._wide):
        choice.cache_clear()


def _close(ours: torch.Tensor, exact: torch.Tensor) -> None:
    torch.testing.assert_close(ours.double(), exact, **CLOSE)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.usefixtures("library")
def test_plain_products_are_those_of_the_definition(transposed: bool) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(33, 39), torch.randn(33, 13)
    weight = torch.randn(13, 39).mT if transposed else torch.randn(39, 13)
    exact, before = x.double() @ weight.double(), y.clone()
    _close(products.product(x, weight), exact)
    for bias in (y[0], torch.randn(13, 2)[:, 0]):
        _close(products.product(x, weight, bias), exact + bias.double())
    turned = torch.randn(13, 33).mT
    _close(products.added_product(turned, x, weight), turned.double() + exact)
    _close(products.added_product(y, x, weight), y.double() + exact)
    assert torch.equal(y, before)
    turned = products.turned_product(x, y)
    _close(turned, x.double().mT @ y.double())
    assert turned.is_contiguous()
    half = x.bfloat16()
    assert products.turned_product(half, y.bfloat16()).dtype is torch.bfloat16
    assert products.product(half, weight.bfloat16()).dtype is torch.bfloat16
    added = products.added_product(y, half, weight.bfloat16())
    assert added.dtype is torch.float32
    torch.testing.assert_close(added.double(), y.double() + exact, rtol=0.02, atol=0.2)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("sets", [1, 3])
@pytest.mark.usefixtures("library")
def test_products_of_sets_and_their_gradients_are_those_of_the_definition(sets: int, biased: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(33, sets, 39).transpose(0, 1)
    ours = [x, torch.randn(sets, 39, 13), torch.randn(sets, 1, 13)][: 2 + biased]
    exact = [each.detach().double().requires_grad_() for each in ours]
    for each in ours:
        each.requires_grad_()
    out, expected = products.set_products(*ours).mul_(2), (exact[0] @ exact[1] + sum(exact[2:])) * 2
    _close(out, expected)
    slopes = torch.randn_like(out)
    (out * slopes).sum().backward()
    (expected * slopes.double()).sum().backward()
    for own, other in zip(ours, exact, strict=True):
        _close(own.grad, other.grad)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("shape", [(33, 39), (3, 11, 39)])
@pytest.mark.usefixtures("library")
def test_products_with_a_weight_as_torch_has_it_leave_its_gradient_as_torch_does(
    shape: tuple[int, ...], biased: bool
) -> None:
    torch.manual_seed(0)
    x, linear = torch.randn(shape, requires_grad=True), torch.nn.Linear(39, 13, bias=biased)
    given = (x, *linear.parameters())
    ours = torch.autograd.grad(products.linear_product(x, linear.weight, linear.bias).square().sum(), given)
    theirs = torch.autograd.grad(linear(x).square().sum(), given)
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-3)
        assert own.stride() == other.stride()


@pytest.mark.usefixtures("library")
def test_under_autocast_products_are_torch_s() -> None:
    x, weight = torch.randn(3, 5, 7), torch.randn(3, 7, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert products.set_products(x, weight).dtype is torch.bfloat16
        assert products.linear_product(x[0], weight[0].mT).dtype is torch.bfloat16


@pytest.mark.parametrize(("family", "chosen"), [(25, False), (26, True), (27, True), (None, False)])
@pytest.mark.usefixtures("fresh_choice")
def test_weights_gradients_are_onednn_s_where_vectors_are_whole(
    family: int | None, chosen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "cpuinfo"
    if family:
        told.write_text(f"processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: {family}\nmodel\t\t: 2\n")
    monkeypatch.setattr(products, "PROCESSOR", told)
    assert products._wide() is chosen


@pytest.mark.parametrize(("vendor", "chosen"), [("AuthenticAMD", True), ("GenuineIntel", False), (None, False)])
@pytest.mark.usefixtures("fresh_choice")
def test_onednn_is_chosen_on_amd_s_cpus(
    vendor: str | None, chosen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "cpuinfo"
    if vendor:
        told.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\n")
    monkeypatch.setattr(products, "PROCESSOR", told)
    assert products.by_onednn(torch.ones(2, 2)) is chosen
    assert not products.by_onednn(torch.ones(2, 2, dtype=torch.float64))
    assert not products.by_onednn(torch.ones(2, 2, device="meta"))
