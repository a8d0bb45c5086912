import pytest
import torch


def test_one_set_is_the_single_embedding_model(assert_single_embedding_equals):
    def reference(pieces, fields):
        return pieces.head("head", pieces.projection("interaction.projection", torch.cat(fields, 1)))

    assert_single_embedding_equals("dnn", reference)


@pytest.mark.parametrize(("num_sets", "published"), [(1, 1.72), (10, 1.73)])
def test_dense_parameters_are_those_published_for_criteo(dense_params, num_sets, published):
    assert round(dense_params("dnn", num_sets) / 1e6, 2) == published
