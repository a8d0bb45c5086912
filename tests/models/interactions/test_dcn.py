import pytest
import torch


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_one_set_is_the_single_embedding_model(assert_single_embedding_equals, layers):
    """Layer by layer, as the source has it; the model folds all layers into one multiple of x_0."""

    def reference(pieces, fields):
        x0 = x = torch.cat(fields, 1)
        weight, bias = pieces.get("interaction.cross_weight")[0], pieces.get("interaction.cross_bias")[0]
        for layer in range(layers):
            x = x0 * (x @ weight[:, layer : layer + 1]) + bias[layer] + x
        return pieces.head("head", pieces.projection("interaction.projection", x))

    assert_single_embedding_equals("dcn", reference, cross_layers=layers)


def test_dense_parameters_are_a_dnns_and_two_vectors_per_layer_and_set(dense_params):
    for num_sets in (1, 10):
        crosses = dense_params("dcn", num_sets, cross_layers=4) - dense_params("dnn", num_sets)
        assert crosses == 4 * 2 * 39 * 100
