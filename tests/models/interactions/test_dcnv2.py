import pytest
import torch


def test_one_set_is_the_single_embedding_model(assert_single_embedding_equals):
    def reference(pieces, fields):
        x0 = x = torch.cat(fields, 1)
        for layer in range(2):
            x = x0 * pieces.linear(f"interaction.cross.{layer}", x) + x
        return pieces.head("head", pieces.projection("interaction.projection", x))

    assert_single_embedding_equals("dcnv2", reference)


@pytest.mark.parametrize(("num_sets", "published"), [(1, 62.6), (10, 7.8)])
def test_dense_parameters_are_those_published_for_criteo(dense_params, num_sets, published):
    assert round(dense_params("dcnv2", num_sets) / 1e6, 1) == published


def test_cross_blocks_map_field_i_to_its_part_in_field_j(make_model, ids_BN):
    model = make_model("dcnv2")
    emb_MBNK = model.tables(ids_BN)
    blocks_MNNKK = model.interaction.cross_blocks()
    layer = model.interaction.cross[0]
    sum_MBNK = torch.einsum("mijab,mnib->mnja", blocks_MNNKK, emb_MBNK)
    expected_MBI = layer(emb_MBNK.flatten(2)) - layer.bias
    torch.testing.assert_close(sum_MBNK.flatten(2), expected_MBI, rtol=1e-4, atol=1e-4)
