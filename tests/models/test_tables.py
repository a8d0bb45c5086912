import pytest
import torch

from recscale.errors import ConfigError
from recscale.models.tables import EmbeddingTables, GradientLayout

SIZES = (7, 3, 11, 2, 5)


def test_forward_gathers_every_field_from_its_own_rows(ids_BN):
    tables = EmbeddingTables(SIZES, 3, 4)
    emb_MBNK = tables(ids_BN.int())
    for field in range(len(SIZES)):
        rows_BMK = tables.field_weight(field)[ids_BN[:, field]]
        assert torch.equal(emb_MBNK[:, :, field], rows_BMK.transpose(0, 1))
    assert emb_MBNK.is_contiguous()
    assert emb_MBNK.dtype == torch.float32


def test_field_slices_cover_the_matrix_in_order():
    tables = EmbeddingTables(SIZES, 1, 2)
    assert [part.stop - part.start for part in tables.field_slices()] == list(SIZES)
    assert torch.equal(torch.cat([tables.weight[part] for part in tables.field_slices()]), tables.weight)


def test_a_set_starts_like_a_single_embedding_table_of_its_dimension():
    torch.manual_seed(0)
    rows, dim = 20_000, 5
    bound = (6 / (rows + dim)) ** 0.5
    for num_sets in (1, 4):
        by_set_VMK = EmbeddingTables([rows - 10, 10], num_sets, dim).by_set().detach()
        spread_M = by_set_VMK.transpose(0, 1).flatten(1).std(1)
        torch.testing.assert_close(spread_M, torch.full((num_sets,), bound / 3**0.5), rtol=0.02, atol=0)
        torch.testing.assert_close(by_set_VMK.abs().amax((0, 2)), torch.full((num_sets,), bound), rtol=0.01, atol=0)


def test_sparse_gradient_equals_the_dense_one(ids_BN):
    gradients = {}
    for layout in GradientLayout:
        torch.manual_seed(0)
        tables = EmbeddingTables(SIZES, 3, 4, layout)
        (tables(ids_BN).sin() * torch.arange(4)).sum().backward()
        gradients[layout] = tables.weight.grad
    assert gradients[GradientLayout.SPARSE].layout is torch.sparse_coo
    assert gradients[GradientLayout.DENSE].layout is torch.strided
    torch.testing.assert_close(gradients[GradientLayout.SPARSE].to_dense(), gradients[GradientLayout.DENSE])


@pytest.mark.parametrize("sizes", [(), (3, 0)])
def test_refuses_vocabularies_without_ids(sizes):
    with pytest.raises(ConfigError, match="vocabulary sizes"):
        EmbeddingTables(sizes, 1, 4)
