from itertools import combinations

import pytest
import torch

from recscale.records import Combination

FIELDS, SETS, DIM = 5, 3, 4


def test_one_set_is_the_single_embedding_model(assert_single_embedding_equals):
    def reference(pieces, fields):
        weights = pieces.get("interaction.linear.weight")[0, :, 0].split(SETS * DIM)
        linear = sum(field @ weight for field, weight in zip(fields, weights, strict=True))
        return pieces.get("head.bias") + linear + sum((a * b).sum(1) for a, b in combinations(fields, 2))

    assert_single_embedding_equals("fm", reference)


@pytest.mark.parametrize(("combination", "share"), [(Combination.MEAN_FEATURES, 3), (Combination.CONCATENATION, 1)])
def test_sets_are_one_fm_of_all_their_columns(make_model, ids_BN, combination, share):
    """A quadratic form splits over columns: M sets' mean is 1/M of it, the head's sum over all sets is all of it."""
    multi, single = make_model("fm", combination=combination), make_model("fm", num_sets=1)
    state = multi.state_dict()
    weight_MNK = state["interaction.linear.weight"].view(SETS, FIELDS, DIM)
    state["interaction.linear.weight"] = weight_MNK.transpose(0, 1).reshape(1, -1, 1)
    single.load_state_dict(state)
    torch.testing.assert_close(multi(ids_BN), single(ids_BN) / share, rtol=1e-4, atol=1e-5)


def test_an_untrained_model_predicts_one_half(make_model, ids_BN):
    model = make_model("fm")
    model.tables.reset_parameters()
    model.tables.weight.data *= 1e-3
    assert model(ids_BN).abs().max() < 1e-2


def test_dense_parameters_by_hand(dense_params):
    assert dense_params("fm", 1) == dense_params("fm", 10) == 39 * 100 + 1
