"""Properties that every family must have."""

from fnmatch import fnmatch
from itertools import combinations

import pytest
import torch

from recscale.errors import ConfigError
from recscale.models.families import get_family
from recscale.models.model import MultiEmbeddingModel
from recscale.models.specs import family_names
from recscale.models.tables import GradientLayout
from recscale.models.tokens import FieldTokens
from recscale.records import ModelSpec, Variant
from tests.models.conftest import biases_before_norms

FIELDS, SETS, DIM = 5, 3, 4
every_family = pytest.mark.parametrize("family", family_names())


def one_set_of(state, m):
    """State of the model that holds only set m: all parameters lead with M, batch norms with M*H."""
    own = {}
    for name, value in state.items():
        if name == "tables.weight":
            own[name] = value.view(len(value), SETS, -1)[:, m]
        elif not name.startswith("interaction.") or value.dim() == 0:
            own[name] = value
        else:
            own[name] = value.view(SETS, -1)[m] if value.dim() == 1 else value[m : m + 1]
    return own


@every_family
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_sets_in_one_batch_equal_a_loop_over_single_embedding_interactions(make_model, ids_BN, family, mode):
    model = getattr(make_model(family), mode)()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    streams_per_set = []
    for m in range(SETS):
        single = getattr(make_model(family, num_sets=1, scale=0.4), mode)()
        single.load_state_dict(one_set_of(state, m))
        streams_per_set.append(single.interaction(single.tables(ids_BN)))
    means = tuple(sum(stream[0] for stream in streams) / SETS for streams in zip(*streams_per_set, strict=True))
    torch.testing.assert_close(model(ids_BN), model.head(means), rtol=1e-4, atol=1e-4)


FIRST = {"projection.0.weight": (1,)}
FIELD_AXES = {
    "autoint": FIRST,
    "dcn": {**FIRST, "cross_weight": (1,), "cross_bias": (2,)},
    "dcnv2": {**FIRST, "cross.*.weight": (1, 2), "cross.*.bias": (2,)},
    "deepfm": {**FIRST, "linear.weight": (1,)},
    "dnn": FIRST,
    "finalmlp": {"streams.*.0.0.weight": (1,)},
    "fm": {"linear.weight": (1,)},
    "fwfm": {"linear.weight": (1,)},
    "gdcn": {**FIRST, "cross.*.linear.weight": (1, 2), "cross.*.linear.bias": (2,), "cross.*.gate": (1, 2)},
    "wukong": {"blocks.0.mix": (2,), "blocks.0.product_norm.*": (1,), "blocks.0.inner.weight": (1,)},
    "xdeepfm": {**FIRST, "cin.0.weight": (2, 3), "cin.1.weight": (2,)},
}
"""Axes of an interaction's parameters along which the fields lie side by side, each with as many entries."""


def move_fields(value, order, axes):
    """Moves the fields along every axis."""
    for axis in axes:
        value = value.unflatten(axis, (FIELDS, -1)).index_select(axis, order).flatten(axis, axis + 1)
    return value


def move_pairs(value, order):
    """Moves the last axis's pairs i < j, each to where its two fields have gone."""
    place = {pair: position for position, pair in enumerate(combinations(range(FIELDS), 2))}
    pairs = combinations(order.tolist(), 2)
    return value[..., torch.tensor([place[min(pair), max(pair)] for pair in pairs])]


def move_vectors(value, order):
    """ffm: [..., N, N-1, J] with fields and, within each, the vectors against the others moved."""
    fields, moved = order.tolist(), []
    for field in fields:
        others = sorted(set(fields) - {field})
        slots = [others.index(other) for other in fields if other != field]
        moved.append(value[..., field, slots, :])
    return torch.stack(moved, -3)


def permuted(name, value, order, family):
    """A parameter of the model whose fields stand in the new order."""
    part = name.removeprefix("interaction.")
    if part == "projection.0.weight" and family == "ipnn":
        embeddings, products = value.split([FIELDS * DIM, value.shape[1] - FIELDS * DIM], 1)
        moved_products = move_pairs(products.transpose(1, 2), order).transpose(1, 2)
        return torch.cat((move_fields(embeddings, order, (1,)), moved_products), 1)
    if part == "linear.weight" and family == "ffm":
        return move_vectors(value.view(SETS, FIELDS, FIELDS - 1, DIM), order).reshape_as(value)
    if part == "field_weights.weight":
        return move_pairs(value, order) if value.dim() == 2 else move_fields(value, order, (1, 2))
    axes = [axes for pattern, axes in FIELD_AXES.get(family, {}).items() if fnmatch(part, pattern)]
    return move_fields(value, order, axes[0]) if axes else value


def permuted_tables(model, order, family):
    """Rows of every field in the new order; ffm's vectors follow the fields they are against."""
    parts = [model.tables.weight[part] for part in model.tables.field_slices()]
    if family == "ffm":
        place = order.argsort()
        for field, part in enumerate(parts):
            vectors = part.view(-1, SETS, 1, FIELDS - 1, DIM).expand(-1, -1, FIELDS, -1, -1)
            parts[field] = move_vectors(vectors, order)[..., place[field], :, :].flatten(1)
    return torch.cat([parts[i] for i in order])


def move_tokens(model, order):
    """Which fields a token reads belongs to the token: it reads them where they have gone."""
    for module in model.modules():
        if isinstance(module, FieldTokens):
            module.fields_TW = order.argsort()[module.fields_TW]


@pytest.mark.parametrize(
    ("family", "variant"), [*((name, Variant.FAIR) for name in family_names()), ("nfwfm", Variant.PAPER)]
)
def test_the_order_of_fields_means_nothing_once_parameters_follow_it(make_model, ids_BN, family, variant):
    model = make_model(family, variant=variant).eval()
    order = torch.tensor([3, 0, 4, 2, 1])
    sizes = [model.tables.vocabulary_sizes[i] for i in order]
    moved = MultiEmbeddingModel(model.spec, sizes).eval()
    state = {name: permuted(name, value, order, family) for name, value in model.state_dict().items()}
    state["tables.weight"] = permuted_tables(model, order, family)
    moved.load_state_dict(state)
    move_tokens(moved, order)
    torch.testing.assert_close(moved(ids_BN[:, order]), model(ids_BN), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(moved(ids_BN[:, order]), model(ids_BN.roll(1, 0)), atol=1e-2)


@every_family
@pytest.mark.parametrize("variant", Variant)
def test_gradients_reach_every_set_and_every_parameter(make_model, ids_BN, family, variant):
    """Evaluation statistics: batch statistics cancel the biases before a batch norm by design."""
    model = make_model(family, GradientLayout.DENSE, variant=variant).eval()
    model(ids_BN).square().sum().backward()
    touched_M = model.tables.weight.grad.unflatten(1, (SETS, -1)).abs().amax((0, 2))
    assert (touched_M > 0).all()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        parts = SETS if name.startswith("interaction.") else 1
        assert (parameter.grad.reshape(parts, -1).abs().amax(1) > 0).all(), name


@every_family
def test_sparse_and_dense_gradients_are_the_same(make_model, ids_BN, family):
    sparse, dense = (make_model(family, layout) for layout in (GradientLayout.SPARSE, GradientLayout.DENSE))
    for model in (sparse, dense):
        model(ids_BN).sin().sum().backward()
    assert sparse.tables.weight.grad.layout is torch.sparse_coo
    assert dense.tables.weight.grad.layout is torch.strided
    torch.testing.assert_close(sparse.tables.weight.grad.to_dense(), dense.tables.weight.grad)


@every_family
def test_bf16_autocast_stays_close_and_gives_a_float32_logit(make_model, ids_BN, family):
    model = make_model(family)
    expected_B = model.eval()(ids_BN)
    with torch.autocast("cpu", torch.bfloat16):
        logit_B = model(ids_BN)
        trained_B = model.train()(ids_BN)
    trained_B.sum().backward()
    assert logit_B.dtype == trained_B.dtype == torch.float32
    own_rounding = torch.finfo(torch.bfloat16).eps / 2 * expected_B.abs().mean()
    assert (logit_B - expected_B).std() < 0.03 * expected_B.std() + own_rounding
    assert all(p.grad.dtype == torch.float32 for p in model.parameters())


@every_family
def test_a_seed_decides_every_weight(family):
    def weights(seed):
        torch.manual_seed(seed)
        model = MultiEmbeddingModel(ModelSpec(family, num_sets=2, hidden_sizes=(8, 4)), [4, 5, 6])
        return torch.cat([parameter.flatten() for parameter in model.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@every_family
def test_variants_differ_only_where_the_family_says_so(make_model, ids_BN, family):
    shapes, logits = [], []
    for variant in Variant:
        model = make_model(family, variant=variant).eval()
        shapes.append([parameter.shape for parameter in model.parameters()])
        logits.append(model(ids_BN))
    same = shapes[0] == shapes[1] and torch.equal(*logits)
    assert same == (get_family(family).variants_differ == "")


@every_family
@pytest.mark.parametrize("hidden_sizes", [(9,), (9, 6, 5)])
def test_any_number_of_hidden_layers(make_model, ids_BN, family, hidden_sizes):
    model = make_model(family, hidden_sizes=hidden_sizes)
    assert model(ids_BN).shape == (64,)
    has_hidden = any(p.shape[-1] == hidden_sizes[-1] for p in model.dense_parameters())
    assert has_hidden == (family not in {"ffm", "fm", "fwfm"})


@every_family
@pytest.mark.parametrize(
    "settings",
    [
        {"scale": 2.1, "tokens": 3, "attention_heads": 5, "block_layers": 1, "cross_layers": 1},
        {"scale": 3.0, "tokens": 8, "attention_heads": 2, "block_layers": 3, "cross_layers": 3},
        {"scale": 0.6, "tokens": 5, "attention_heads": 3, "block_layers": 2, "cross_layers": 2},
    ],
)
def test_width_depth_heads_and_tokens_need_not_fit_each_other(make_model, ids_BN, family, settings):
    model = make_model(family, GradientLayout.DENSE, **settings)
    model(ids_BN).sin().sum().backward()
    cancelled = biases_before_norms(model)
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert (parameter.grad.abs().sum() > 0) != (name in cancelled), name


LINEAR_FAMILY = """
from recscale.models.families import Family, Interaction
from recscale.models.layers import MLPHead, SetLinear

class Linear(Interaction):
    def __init__(self, spec, num_fields):
        super().__init__()
        self.widths = (spec.hidden_sizes[0],)
        self.map = SetLinear(spec.num_sets, num_fields * spec.embed_dim, spec.hidden_sizes[0])

    def forward(self, emb_MBNK):
        return (self.map(emb_MBNK.flatten(2)),)

FAMILY = Family("linear", Linear, MLPHead)
"""


def test_linear_multi_embedding_is_single_embedding_of_the_whole_budget(make_model, ids_BN, tmp_path, monkeypatch):
    """Guo et al. 2024, App. B: mean_m W_m e_m = W e with tables side by side and W the stacked W_m / M."""
    package = tmp_path / "families_of_a_user"
    package.mkdir()
    (package / "linear.py").write_text(LINEAR_FAMILY)
    monkeypatch.syspath_prepend(tmp_path)
    multi = make_model("families_of_a_user.linear", GradientLayout.DENSE)
    single = make_model("families_of_a_user.linear", GradientLayout.DENSE, num_sets=1)
    assert single.spec.embed_dim == SETS * DIM
    state = multi.state_dict()
    weight_MNKH = state["interaction.map.weight"].unflatten(1, (FIELDS, DIM))
    state["interaction.map.weight"] = weight_MNKH.permute(1, 0, 2, 3).flatten(0, 2).unsqueeze(0) / SETS
    state["interaction.map.bias"] = state["interaction.map.bias"].mean(0, keepdim=True)
    single.load_state_dict(state)
    logits = [model(ids_BN) for model in (multi, single)]
    torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-5)
    for logit_B in logits:
        logit_B.sin().sum().backward()
    torch.testing.assert_close(multi.tables.weight.grad, single.tables.weight.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("num_sets", 0),
        ("scale", 0.0),
        ("scale", float("nan")),
        ("base_dim", 0),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("hidden_sizes", ()),
        ("hidden_sizes", (400, 0)),
        ("cross_layers", 0),
        ("cin_sizes", ()),
    ],
)
def test_impossible_settings_are_refused_by_name(make_model, setting, value):
    with pytest.raises(ConfigError, match=setting):
        make_model("dnn", **{setting: value})
