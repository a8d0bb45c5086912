import pytest
import torch
from torch.nn import functional

from recscale.models import cin
from recscale.models.interactions import xdeepfm


def test_one_set_is_the_single_embedding_model(assert_single_embedding_equals):
    def reference(pieces, fields):
        emb_BNK = torch.stack(fields, 1)
        maps_BJK, pooled = emb_BNK, []
        for layer in range(2):
            weight_JNJ = pieces.get(f"interaction.cin.{layer}.weight")[0]
            outer_BJNK = torch.einsum("bjk,bnk->bjnk", maps_BJK, emb_BNK)
            filters = weight_JNJ.transpose(1, 2).flatten(1).unsqueeze(-1)
            maps_BJK = functional.conv1d(
                outer_BJNK.flatten(1, 2), filters, pieces.get(f"interaction.cin.{layer}.bias")[0, :, 0]
            )
            pooled.append(maps_BJK.sum(2))
        cin = functional.linear(torch.cat(pooled, 1), pieces.get("head.linear.weight"), pieces.get("head.linear.bias"))[
            :, 0
        ]
        return cin + pieces.head("head.mlp", pieces.projection("interaction.projection", torch.cat(fields, 1)))

    assert_single_embedding_equals("xdeepfm", reference)


@pytest.mark.parametrize(("num_sets", "published"), [(1, 1.76), (10, 2.08)])
def test_dense_parameters_are_those_published_for_criteo(dense_params, num_sets, published):
    assert round(dense_params("xdeepfm", num_sets) / 1e6, 2) == published


def test_cutting_the_columns_for_a_cpu_changes_nothing(make_model, ids_BN, monkeypatch):
    results = []
    monkeypatch.setattr(xdeepfm, "compiles", lambda emb_MNC: False)
    monkeypatch.setattr(cin, "compiles", lambda emb_MNC: False)
    for columns in (256, 7):
        monkeypatch.setattr(xdeepfm, "CPU_COLUMNS", columns)
        model = make_model("xdeepfm")
        logit_B = model(ids_BN)
        logit_B.sin().sum().backward()
        results.append([logit_B, *(parameter.grad.to_dense() for parameter in model.parameters())])
    for whole, cut in zip(*results, strict=True):
        torch.testing.assert_close(cut, whole, rtol=1e-4, atol=1e-4)
