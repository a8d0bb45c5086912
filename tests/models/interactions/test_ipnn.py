from itertools import combinations

import pytest
import torch

from recscale.records import Variant


@pytest.mark.parametrize("variant", Variant)
def test_one_set_is_the_single_embedding_model(assert_single_embedding_equals, variant):
    def reference(pieces, fields):
        products = torch.stack([(a * b).sum(1) for a, b in combinations(fields, 2)], 1)
        hidden = pieces.projection("interaction.projection", torch.cat([*fields, products], 1))
        return pieces.head("head", hidden)

    assert_single_embedding_equals("ipnn", reference, variant)


def test_paper_variant_drops_the_embeddings_of_several_sets_only(dense_params):
    embeddings_to_projection = 39 * 10 * 400
    fair, paper = (dense_params("ipnn", 10, variant=variant) for variant in (Variant.FAIR, Variant.PAPER))
    assert fair - paper == 10 * embeddings_to_projection
    assert dense_params("ipnn", 1, variant=Variant.FAIR) == dense_params("ipnn", 1, variant=Variant.PAPER)


def test_paper_variant_of_several_sets_sees_embeddings_only_through_products(make_model, ids_BN):
    """Rotating all vectors of a set leaves every inner product, so the logit, as it was."""
    rotation_KK = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1)))[0]
    moved = {}
    for variant in Variant:
        model = make_model("ipnn", variant=variant).eval()
        before = model(ids_BN)
        model.tables.weight.data = (model.tables.by_set() @ rotation_KK).flatten(1)
        moved[variant] = (model(ids_BN) - before).abs().max().item()
    assert moved[Variant.PAPER] < 1e-4 < 1e-2 < moved[Variant.FAIR]
