import pytest
import torch
from torch.nn import functional


def test_one_set_is_the_single_embedding_model(assert_single_embedding_equals):
    def reference(pieces, fields):
        streams = []
        for stream in range(2):
            hidden = torch.cat(fields, 1)
            for layer in range(2):
                hidden = pieces.projection(f"interaction.streams.{stream}.{layer}", hidden)
            streams.append(hidden)
        joint = functional.bilinear(
            *streams, pieces.get("head.bilinear.weight").unsqueeze(0), pieces.get("head.first.bias")
        )
        linear = streams[0] @ pieces.get("head.first.weight")[0] + streams[1] @ pieces.get("head.second.weight")[0]
        return joint[:, 0] + linear

    assert_single_embedding_equals("finalmlp", reference)


@pytest.mark.parametrize(("num_sets", "published"), [(1, 3.61), (10, 6.53)])
def test_dense_parameters_are_those_published_for_criteo(dense_params, num_sets, published):
    assert round(dense_params("finalmlp", num_sets) / 1e6, 2) == published
