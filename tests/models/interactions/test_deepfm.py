from itertools import combinations

import torch


def test_one_set_is_the_single_embedding_model(assert_single_embedding_equals):
    def reference(pieces, fields):
        flat = torch.cat(fields, 1)
        linear = flat @ pieces.get("interaction.linear.weight")[0, :, 0]
        products = sum((a * b).sum(1) for a, b in combinations(fields, 2))
        return linear + products + pieces.head("head.mlp", pieces.projection("interaction.projection", flat))

    assert_single_embedding_equals("deepfm", reference)


def test_dense_parameters_are_those_of_an_fm_and_a_dnn(dense_params):
    for num_sets in (1, 10):
        parts = dense_params("fm", num_sets) - 1 + dense_params("dnn", num_sets)
        assert dense_params("deepfm", num_sets) == parts
