from itertools import combinations

import torch

FIELDS, SETS, DIM = 5, 3, 4


def test_one_set_is_the_single_embedding_model(assert_single_embedding_equals):
    def reference(pieces, fields):
        linear = torch.cat(fields, 1) @ pieces.get("interaction.linear.weight")[0, :, 0]
        weights = pieces.get("interaction.field_weights.weight")[0]
        pairs = zip(weights, combinations(fields, 2), strict=True)
        return pieces.get("head.bias") + linear + sum(r * (a * b).sum(1) for r, (a, b) in pairs)

    assert_single_embedding_equals("fwfm", reference)


def test_sets_with_the_same_field_weights_are_one_model_of_all_their_columns_up_to_the_mean(make_model, ids_BN):
    multi, single = make_model("fwfm"), make_model("fwfm", num_sets=1)
    state = multi.state_dict()
    state["interaction.field_weights.weight"][:] = state["interaction.field_weights.weight"][0]
    multi.load_state_dict(state)
    weight_MNK = state["interaction.linear.weight"].view(SETS, FIELDS, DIM)
    state["interaction.linear.weight"] = weight_MNK.transpose(0, 1).reshape(1, -1, 1)
    state["interaction.field_weights.weight"] = state["interaction.field_weights.weight"][:1]
    single.load_state_dict(state)
    torch.testing.assert_close(multi(ids_BN), single(ids_BN) / SETS, rtol=1e-4, atol=1e-5)


def test_patterns_are_the_field_weights_of_every_set(make_model):
    interaction = make_model("fwfm").interaction
    r_MNN = interaction.patterns()
    for position, (i, j) in enumerate(combinations(range(FIELDS), 2)):
        assert torch.equal(r_MNN[:, i, j], interaction.field_weights.weight[:, position])
    assert not r_MNN.tril().any()


def test_dense_parameters_by_hand(dense_params):
    assert dense_params("fwfm", 10) == 39 * 100 + 10 * 39 * 38 // 2 + 1
