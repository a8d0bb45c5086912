"""What sets have in common and how they are joined, against models of single sets."""

import pytest
import torch
from torch import nn

from recscale.errors import ConfigError
from recscale.models.families import Family, built_interaction
from recscale.models.specs import family_names
from recscale.records import Combination, Sharing
from tests.models.conftest import biases_before_norms

SETS = 3
every_family = pytest.mark.parametrize("family", family_names())


def _set_of(state, single, index):
    """The parameters of one set as a single-embedding model's: the tables' columns and every leading set dimension."""
    dim = single["tables.weight"].shape[1]
    picked = {}
    for name, tensor in state.items():
        wanted = single[name].shape
        if name == "tables.weight":
            picked[name] = tensor[:, index * dim : (index + 1) * dim]
        elif tensor.shape == wanted:
            picked[name] = tensor
        elif tensor.shape[0] == SETS * wanted[0]:
            picked[name] = tensor[index * wanted[0] : (index + 1) * wanted[0]]
    return picked


@every_family
def test_mean_of_logits_is_the_mean_of_single_set_models_with_one_head(make_model, ids_BN, family):
    model = make_model(family, combination=Combination.MEAN_LOGITS).eval()
    single = make_model(family, num_sets=1, scale=0.4).eval()
    logits = []
    for index in range(SETS):
        single.load_state_dict(_set_of(model.state_dict(), single.state_dict(), index))
        logits.append(single(ids_BN))
    torch.testing.assert_close(model(ids_BN), torch.stack(logits).mean(0), rtol=1e-4, atol=1e-4)


@every_family
def test_one_interaction_for_all_sets_is_every_set_with_the_same_parameters(make_model, ids_BN, family):
    shared = make_model(family, sharing=Sharing.SHARED_INTERACTION).eval()
    separate = make_model(family).eval()
    state = separate.state_dict()
    for name, tensor in shared.state_dict().items():
        if name.startswith("interaction.") and tensor.shape != state[name].shape:
            tensor = tensor.repeat(SETS, *[1] * (tensor.ndim - 1))
        state[name] = tensor
    separate.load_state_dict(state)
    torch.testing.assert_close(shared(ids_BN), separate(ids_BN), rtol=1e-4, atol=1e-4)
    dense = sum(p.numel() for p in shared.dense_parameters())
    assert dense < sum(p.numel() for p in separate.dense_parameters())


@every_family
def test_shared_tables_are_one_set_of_the_whole_budget_that_every_interaction_reads(make_model, ids_BN, family):
    shared = make_model(family, sharing=Sharing.SHARED_TABLES).eval()
    assert shared.spec.embed_dim == 12
    assert shared.tables.num_sets == 1
    assert shared.tables.weight.shape == make_model(family).tables.weight.shape
    single = make_model(family, num_sets=1).eval()
    streams = []
    for index in range(SETS):
        single.load_state_dict(
            {**_set_of(shared.state_dict(), single.state_dict(), index), "tables.weight": shared.tables.weight}
        )
        streams.append(single.interaction(single.tables(ids_BN)))
    joined = tuple(torch.cat(parts).mean(0) for parts in zip(*streams, strict=True))
    torch.testing.assert_close(shared(ids_BN), shared.head(joined), rtol=1e-4, atol=1e-4)


@every_family
def test_concatenation_gives_the_head_every_feature_of_every_set(make_model, ids_BN, family):
    model = make_model(family, combination=Combination.CONCATENATION).eval()
    mean = make_model(family).eval()
    kept = {k: v for k, v in model.state_dict().items() if not k.startswith("head.")}
    mean.load_state_dict(kept, strict=False)
    assert model.interaction.widths == mean.interaction.widths
    streams = model.interaction(model.tables(ids_BN))
    side_by_side = tuple(torch.cat(list(stream), 1) for stream in streams)
    torch.testing.assert_close(model(ids_BN), model.head(side_by_side), rtol=1e-5, atol=1e-5)
    assert [part.shape[1] for part in side_by_side] == [SETS * width for width in model.interaction.widths]


@every_family
@pytest.mark.parametrize("sharing", Sharing)
@pytest.mark.parametrize("combination", Combination)
def test_gradients_flow_to_every_parameter(make_model, ids_BN, family, sharing, combination):
    model = make_model(family, sharing=sharing, combination=combination)
    model(ids_BN).sin().sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.to_dense().abs().sum() > 0]
    assert set(silent) == biases_before_norms(model)


@pytest.mark.parametrize("sharing", Sharing)
@pytest.mark.parametrize("combination", Combination)
def test_with_one_set_every_variant_is_single_embedding(make_model, ids_BN, sharing, combination):
    model = make_model("dcnv2", num_sets=1, sharing=sharing, combination=combination).eval()
    plain = make_model("dcnv2", num_sets=1).eval()
    plain.load_state_dict(model.state_dict())
    torch.testing.assert_close(model(ids_BN), plain(ids_BN))


def test_an_interaction_without_widths_is_named():
    family = Family("mine", lambda spec, num_fields: nn.Identity(), lambda spec, widths: nn.Identity())
    with pytest.raises(ConfigError, match=r"'mine'.*Identity has no widths.*self\.widths"):
        built_interaction(family, None, 3)
