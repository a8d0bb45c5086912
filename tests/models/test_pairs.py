from itertools import combinations

import torch

from recscale.models.pairs import PairWeights, inner_products, weighted_products

EMB = torch.randn(2, 6, 4, 3, generator=torch.Generator().manual_seed(1))


def test_inner_products_are_the_sum_over_pairs():
    expected_MB = sum((EMB[:, :, i] * EMB[:, :, j]).sum(2) for i, j in combinations(range(4), 2))
    torch.testing.assert_close(inner_products(EMB)[..., 0], expected_MB)


def test_weighted_products_are_the_sum_over_pairs_with_their_weights():
    weights = PairWeights(2, 4)
    pairs = enumerate(combinations(range(4), 2))
    expected_MBK = sum(weights.weight[:, p, None, None] * EMB[:, :, i] * EMB[:, :, j] for p, (i, j) in pairs)
    torch.testing.assert_close(weighted_products(weights(), EMB), expected_MBK)
