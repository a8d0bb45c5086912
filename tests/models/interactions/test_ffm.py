from itertools import combinations

import pytest
import torch

from recscale.errors import ConfigError
from recscale.models.families import get_family
from recscale.models.interactions.ffm import PartnerProducts
from recscale.models.model import MultiEmbeddingModel
from recscale.records import ModelSpec

FIELDS, SETS, DIM = 5, 3, 4


def against(i, j, dim):
    """Columns of field i's vector against field j: the others stand in ascending order."""
    slot = [other for other in range(FIELDS) if other != i].index(j)
    return slice(slot * dim, (slot + 1) * dim)


def test_one_set_is_the_single_embedding_model(assert_single_embedding_equals):
    def reference(pieces, fields):
        linear = torch.cat(fields, 1) @ pieces.get("interaction.linear.weight")[0, :, 0]
        dim = SETS * DIM
        pairs = [
            (fields[i][:, against(i, j, dim)] * fields[j][:, against(j, i, dim)]).sum(1)
            for i, j in combinations(range(FIELDS), 2)
        ]
        return pieces.get("head.bias") + linear + sum(pairs)

    assert_single_embedding_equals("ffm", reference)


def test_sets_are_one_model_of_all_their_columns_up_to_the_mean(make_model, ids_BN):
    """Every vector against a field of the single model is the sets' vectors against that field side by side."""
    multi, single = make_model("ffm"), make_model("ffm", num_sets=1)
    state = multi.state_dict()
    vectors_VMZJ = state["tables.weight"].view(-1, SETS, FIELDS - 1, DIM)
    state["tables.weight"] = vectors_VMZJ.transpose(1, 2).flatten(1)
    weight_MSJ = state["interaction.linear.weight"].view(SETS, -1, DIM)
    state["interaction.linear.weight"] = weight_MSJ.transpose(0, 1).reshape(1, -1, 1)
    single.load_state_dict(state)
    torch.testing.assert_close(multi(ids_BN), single(ids_BN) / SETS, rtol=1e-4, atol=1e-5)


def test_gradient_written_out_is_the_numerical_one():
    vector_RSJ = torch.randn(3, 6, 2, dtype=torch.float64, requires_grad=True)
    partner_S = torch.tensor([2, 4, 0, 5, 1, 3])
    assert torch.autograd.gradcheck(PartnerProducts.apply, (vector_RSJ, partner_S))


def test_cross_blocks_select_the_vector_against_a_field(make_model):
    model = make_model("ffm")
    blocks_MNNJK = model.interaction.cross_blocks()
    assert blocks_MNNJK.shape == (SETS, FIELDS, FIELDS, DIM, (FIELDS - 1) * DIM)
    for i in range(FIELDS):
        rows_MDK = model.tables.field_weight(i).transpose(0, 1)
        assert not blocks_MNNJK[:, i, i].any()
        for j in {*range(FIELDS)} - {i}:
            shown_MDJ = rows_MDK @ blocks_MNNJK[:, i, j].transpose(1, 2)
            assert torch.equal(shown_MDJ, rows_MDK[:, :, against(i, j, DIM)])


def test_a_row_has_a_vector_of_four_columns_against_every_other_field():
    family = get_family("ffm")
    with torch.device("meta"):
        model = MultiEmbeddingModel(ModelSpec("ffm", base_dim=family.base_dim), [50] * 39)
    assert model.tables.weight.shape[1] == 38 * 4
    assert sum(p.numel() for p in model.dense_parameters()) == 39 * 38 * 4 + 1


def test_a_lonely_field_is_refused():
    with pytest.raises(ConfigError, match="ffm: the dataset has 1 field, expected 2 or more"):
        MultiEmbeddingModel(ModelSpec("ffm"), [50])
