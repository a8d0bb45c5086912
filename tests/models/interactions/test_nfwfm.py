from itertools import combinations

import pytest
import torch

from recscale.models.families import get_family
from recscale.records import Variant


def test_one_set_of_fair_sums_every_pair_once(assert_single_embedding_equals):
    def reference(pieces, fields):
        weights = pieces.get("interaction.field_weights.weight")[0]
        pairs = list(combinations(fields, 2))
        hidden = sum(r * a * b for r, (a, b) in zip(weights, pairs, strict=True))
        return pieces.head("head", pieces.projection("interaction.projection", hidden))

    assert_single_embedding_equals("nfwfm", reference)


def test_one_set_of_paper_sums_the_full_matrix(assert_single_embedding_equals):
    def reference(pieces, fields):
        weights = pieces.get("interaction.field_weights.weight")[0]
        hidden = sum(weights[i, j] * a * b for i, a in enumerate(fields) for j, b in enumerate(fields))
        return pieces.head("head", pieces.projection("interaction.projection", hidden))

    assert_single_embedding_equals("nfwfm", reference, Variant.PAPER)


def test_variants_agree_where_the_full_matrix_is_upper_triangular(make_model, ids_BN):
    fair, paper = (make_model("nfwfm", variant=variant).eval() for variant in (Variant.FAIR, Variant.PAPER))
    state = fair.state_dict()
    state["interaction.field_weights.weight"] = fair.interaction.field_weights()
    paper.load_state_dict(state)
    torch.testing.assert_close(fair(ids_BN), paper(ids_BN))


@pytest.mark.parametrize(("variant", "weights"), [(Variant.FAIR, 39 * 38 // 2), (Variant.PAPER, 39 * 39)])
@pytest.mark.parametrize("num_sets", [1, 10])
def test_dense_parameters_by_hand(dense_params, num_sets, variant, weights):
    dim = 500 // num_sets
    per_set = weights + dim * 400 + 400 + 2 * 400
    head = 400 * 400 + 400 + 2 * 400 + 400 + 1
    assert get_family("nfwfm").base_dim == 50
    assert dense_params("nfwfm", num_sets, base_dim=50, variant=variant) == num_sets * per_set + head
