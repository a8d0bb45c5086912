from itertools import combinations

import pytest
import torch

from recscale.models.layers import pair_indices
from recscale.models.pairs import (
    PairWeights,
    compiles,
    embeddings_and_products,
    inner_products,
    pair_products,
    weighted_products,
)

EMB = torch.randn(2, 6, 4, 3, generator=torch.Generator().manual_seed(1))


def test_inner_products_are_the_sum_over_pairs():
    expected_MB = sum((EMB[:, :, i] * EMB[:, :, j]).sum(2) for i, j in combinations(range(4), 2))
    torch.testing.assert_close(inner_products(EMB)[..., 0], expected_MB)


def test_weighted_products_are_the_sum_over_pairs_with_their_weights():
    weights = PairWeights(2, 4)
    pairs = enumerate(combinations(range(4), 2))
    expected_MBK = sum(weights.weight[:, p, None, None] * EMB[:, :, i] * EMB[:, :, j] for p, (i, j) in pairs)
    torch.testing.assert_close(weighted_products(weights(), EMB), expected_MBK)


@pytest.mark.parametrize(
    ("sets", "rows", "fields", "dim"), [(1, 64, 39, 50), (2, 33, 5, 3), (1, 1, 1, 1), (3, 2, 4, 300), (1, 128, 2, 1)]
)
@pytest.mark.parametrize("threads", [1, 2])
def test_weighted_products_and_their_gradients_are_those_of_the_definition(sets, rows, fields, dim, threads):
    """Any weights, the diagonal and both triangles included; gradients in float64 by torch."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    r, emb = torch.randn(sets, fields, fields), torch.randn(sets, rows, fields, dim)
    ours, exact = [r.requires_grad_(), emb.requires_grad_()], [r.detach().double(), emb.detach().double()]
    weights = torch.randn(sets, rows, dim)
    assert compiles(emb)
    got = weighted_products(*ours)
    (got * weights).sum().backward()
    torch.set_num_threads(before)
    expected = torch.einsum("mij,mbik,mbjk->mbk", exact[0].requires_grad_(), exact[1].requires_grad_(), exact[1])
    (expected * weights.double()).sum().backward()
    torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-4)
    for mine, theirs in zip(ours, exact, strict=True):
        torch.testing.assert_close(
            mine.grad.double(), theirs.grad, rtol=1e-4, atol=1e-5 * float(theirs.grad.abs().max())
        )


@pytest.mark.parametrize(
    ("sets", "rows", "fields", "dim"),
    [
        (1, 64, 39, 10),
        (2, 33, 5, 3),
        (1, 1, 1, 1),
        (3, 2, 4, 300),
        (1, 128, 2, 1),
        (2, 7, 16, 4),
        (1, 5, 17, 5),
        (1, 0, 3, 2),
    ],
)
@pytest.mark.parametrize("features", [pair_products, embeddings_and_products])
@pytest.mark.parametrize("threads", [1, 2])
def test_pair_features_and_their_gradients_are_those_of_the_definition(sets, rows, fields, dim, features, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    emb = torch.randn(sets, rows, fields, dim, requires_grad=True)
    exact = emb.detach().double().requires_grad_()
    assert compiles(emb)
    assert not compiles(exact)
    got = features(emb, _positions(fields))
    products = [(exact[:, :, i] * exact[:, :, j]).sum(2) for i, j in combinations(range(fields), 2)]
    expected = torch.stack(products, 2) if products else exact.flatten(2)[..., :0]
    if features is embeddings_and_products:
        expected = torch.cat((exact.flatten(2), expected), 2)
    torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features(exact, _positions(fields)), expected)
    slopes = torch.randn_like(got)
    (got * slopes).sum().backward()
    torch.set_num_threads(before)
    (expected * slopes.double()).sum().backward()
    torch.testing.assert_close(emb.grad.double(), exact.grad, rtol=1e-4, atol=1e-4)


def _positions(fields):
    left, right = pair_indices(fields)
    return left * fields + right


def test_bfloat16_and_float64_are_left_to_torch():
    r, emb = torch.randint(-4, 5, (2, 4, 4)).float(), (4 * EMB).round()  # whole numbers, of which float32 is exact
    with torch.autocast("cpu", torch.bfloat16):
        assert not compiles(emb)
    assert not compiles(emb.double())
    torch.testing.assert_close(weighted_products(r, emb).double(), weighted_products(r.double(), emb.double()))


def test_embeddings_that_lie_otherwise_are_taken():
    r = torch.randn(2, 4, 4)
    laid_out = EMB.transpose(1, 2).contiguous().transpose(1, 2)
    assert not laid_out.is_contiguous()
    torch.testing.assert_close(weighted_products(r, laid_out), weighted_products(r, EMB))
    features = embeddings_and_products(EMB, _positions(4))
    torch.testing.assert_close(embeddings_and_products(laid_out, _positions(4)), features)
    given = [EMB.clone().requires_grad_(), laid_out.requires_grad_()]
    slopes = torch.randn_like(features).mT.contiguous().mT
    grads = [torch.autograd.grad(embeddings_and_products(each, _positions(4)), each, slopes)[0] for each in given]
    torch.testing.assert_close(*grads)
