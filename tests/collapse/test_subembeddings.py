"""Sub-embeddings through Gram matrices, against numpy's SVD of the sub-embeddings themselves."""

import numpy as np
import pytest
import torch

from recscale.collapse.measurement import SUB_EMBEDDINGS_SCHEMA
from recscale.collapse.subembeddings import measure_sub_embeddings, sub_embeddings_table
from recscale.errors import ConfigError

COLUMNS = 6


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def effective_rank_of(values):
    share = values[values > 0] / values.sum()
    return np.exp(-(share * np.log(share)).sum())


def assert_row_is_the_svd(row, table_DK, block_JK):
    table_DK, block_JK = table_DK.double().numpy(), block_JK.double().numpy()
    values = np.linalg.svd(table_DK @ block_JK.T, compute_uv=False)
    assert row.information_abundance == pytest.approx(values.sum() / values[0], rel=1e-6)
    assert row.ia_ratio == pytest.approx(row.information_abundance / min(block_JK.shape))
    assert row.effective_rank == pytest.approx(effective_rank_of(values), rel=1e-5)
    own = np.linalg.svd(table_DK, compute_uv=False)
    assert row.table_information_abundance == pytest.approx(own.sum() / own[0], rel=1e-6)


@pytest.mark.parametrize(("table_sets", "block_sets"), [(1, 1), (3, 3), (3, 1), (1, 3)])
@pytest.mark.parametrize("block_rows", [2, 6, 9])
def test_every_pair_in_every_set_is_the_svd_of_the_explicit_sub_embedding(table_sets, block_sets, block_rows, sizes):
    weight_VMK = draw(sum(sizes), table_sets, COLUMNS)
    blocks_MNNJK = draw(block_sets, len(sizes), len(sizes), block_rows, COLUMNS)
    rows = measure_sub_embeddings(weight_VMK.flatten(1), weight_VMK.shape[1], sizes, blocks_MNNJK)
    every_pair = list(np.ndindex(max(table_sets, block_sets), len(sizes), len(sizes)))
    assert [(row.set_index, row.field, row.toward) for row in rows] == every_pair
    tables = weight_VMK.split(sizes)
    for row in rows:
        table_DK = tables[row.field][:, row.set_index % table_sets]
        assert row.vocabulary_size == len(table_DK)
        assert_row_is_the_svd(row, table_DK, blocks_MNNJK[row.set_index % block_sets, row.field, row.toward])


def test_selection_blocks_give_the_abundance_of_the_selected_columns(sizes):
    """As ffm has it: E_i is N-1 parts side by side, part p is for the p-th other field, and i shows itself nothing."""
    fields, part = len(sizes), 2
    weight_VMK = draw(sum(sizes), 1, part * (fields - 1))
    blocks_MNNJK = torch.zeros(1, fields, fields, part, part * (fields - 1))
    for i in range(fields):
        for place, j in enumerate(other for other in range(fields) if other != i):
            blocks_MNNJK[0, i, j, :, part * place : part * (place + 1)] = torch.eye(part)
    rows = measure_sub_embeddings(weight_VMK.flatten(1), weight_VMK.shape[1], sizes, blocks_MNNJK)
    assert [(row.field, row.toward) for row in rows] == [(i, j) for i in range(4) for j in range(4) if i != j]
    for row in rows:
        place = row.toward - (row.toward > row.field)
        columns = weight_VMK.split(sizes)[row.field][:, 0, part * place : part * (place + 1)].double().numpy()
        values = np.linalg.svd(columns, compute_uv=False)
        assert row.information_abundance == pytest.approx(values.sum() / values[0], rel=1e-6)
        assert row.dim == part


def test_measuring_leaves_weights_and_blocks_alone(sizes):
    weight_VMK = draw(sum(sizes), 2, COLUMNS).requires_grad_()
    blocks_MNNJK = draw(2, 4, 4, COLUMNS, COLUMNS).requires_grad_()
    measure_sub_embeddings(weight_VMK.flatten(1), weight_VMK.shape[1], sizes, blocks_MNNJK)
    assert weight_VMK.grad is blocks_MNNJK.grad is None


def test_an_erased_table_shows_nothing(sizes):
    rows = measure_sub_embeddings(torch.zeros(sum(sizes), 3), 1, sizes, draw(1, 4, 4, 3, 3))
    assert {row.information_abundance for row in rows} == {0.0}


def test_the_table_names_both_fields(sizes):
    rows = measure_sub_embeddings(draw(sum(sizes), 3), 1, sizes, draw(1, 4, 4, 3, 3))
    table = sub_embeddings_table(rows, ["a", "b", "c", "d"])
    assert table.schema.equals(SUB_EMBEDDINGS_SCHEMA)
    assert table.slice(6, 1).to_pylist()[0].items() >= {"field": "b", "toward": "c", "set_index": 0}.items()


@pytest.mark.parametrize("shape", [(1, 4, 4, 3, 5), (1, 3, 4, 3, 3), (3, 4, 4, 3, 3)])
def test_blocks_that_do_not_fit_are_refused(shape, sizes):
    with pytest.raises(ConfigError, match="do not fit tables"):
        measure_sub_embeddings(draw(sum(sizes), 6), 2, sizes, torch.ones(shape))
