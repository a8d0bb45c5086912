from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from recscale.errors import ConfigError
from recscale.models import cin, normalisation, pairs
from recscale.models.accounting import account
from recscale.models.families import get_family
from recscale.models.model import MultiEmbeddingModel
from recscale.models.specs import family_names
from recscale.records import ModelSpec, TableOptimizer, TrainSpec, Variant

SIZES = (7, 300, 11, 2, 5)
N = len(SIZES)
SPEC = ModelSpec("dnn", scale=1.2, num_sets=3, hidden_sizes=(9, 6), cross_layers=2, cin_sizes=(4, 3))
M, K = 3, 4
T = SPEC.tokens
HEAD = 9 * 6 + 6
TRAIN = TrainSpec(batch_size=32)
CASES = [(family, variant) for family in family_names() for variant in Variant]


def wukong_block(features, mixed):
    """Y^T X, W_L X and, with a projected residual, W X: `mixed` times T rows; X times them; the MLP to T/2 features."""
    return round(mixed * T) * features * K + features * K * T + features * T * 9 + 9 * T // 2 * K


MULTIPLICATIONS = {
    ("autoint", Variant.FAIR): M * (2 * (N * K * 4 * K + 2 * N * N * K) + N * K * 9) + HEAD,
    ("dcn", Variant.FAIR): M * (N * K * 2 + N * K * 9) + HEAD,
    ("deepfm", Variant.FAIR): M * (N * K + N * K * 9) + HEAD,
    ("ffm", Variant.FAIR): M * N * (N - 1) * K,
    ("fm", Variant.FAIR): M * N * K,
    ("fwfm", Variant.FAIR): M * (N * K + N * N * K),
    ("gdcn", Variant.FAIR): M * (2 * 2 * (N * K) ** 2 + N * K * 9) + HEAD,
    ("rankmixer", Variant.FAIR): M * (T * K * 2 * K + 2 * T * 2 * 2 * K * 4 * 2 * K + 2 * K * 9) + HEAD,
    ("wukong", Variant.FAIR): M * (wukong_block(N, 2.5) + wukong_block(T, 1.5) + T * K * 9) + HEAD,
    ("zenith", Variant.FAIR): M * (T * 6 * K * K + 2 * (T * 36 * K * K + 4 * T * T * K) + T * 2 * K * 9) + HEAD,
    ("dnn", Variant.FAIR): M * N * K * 9 + HEAD,
    ("dcnv2", Variant.FAIR): M * (2 * (N * K) ** 2 + N * K * 9) + HEAD,
    ("ipnn", Variant.FAIR): M * (N * N * K + (N * K + N * (N - 1) // 2) * 9) + HEAD,
    ("ipnn", Variant.PAPER): M * (N * N * K + N * (N - 1) // 2 * 9) + HEAD,
    ("nfwfm", Variant.FAIR): M * (N * N * K + K * 9) + HEAD,
    ("xdeepfm", Variant.FAIR): M * (4 * N * N * K + 3 * N * 4 * K + N * K * 9) + (4 + 3) + HEAD,
    ("finalmlp", Variant.FAIR): M * 2 * (N * K * 9 + 9 * 6) + 6 + 6 + 6 * 6,
}


def columns(family):
    """Columns that a set has per id."""
    return K * get_family(family).vectors_per_id(N)


@pytest.mark.parametrize(("family", "variant"), CASES)
def test_flops_equal_the_closed_form_and_the_count_on_a_real_model(family, variant):
    spec = replace(SPEC, family=family, variant=variant)
    flops = account(spec, TRAIN, SIZES).flops_per_sample
    with FlopCounterMode(display=False) as counter:
        MultiEmbeddingModel(spec, SIZES).double()(torch.zeros(8, N, dtype=torch.int64))
    assert flops * 8 == counter.get_total_flops()
    assert flops == 2 * MULTIPLICATIONS.get((family, variant), MULTIPLICATIONS[family, Variant.FAIR])


@pytest.mark.parametrize(("family", "variant"), CASES)
def test_parameters_equal_those_of_a_real_model(family, variant):
    spec = replace(SPEC, family=family, variant=variant)
    cost, model = account(spec, TRAIN, SIZES), MultiEmbeddingModel(spec, SIZES)
    assert cost.table_params == sum(SIZES) * M * columns(family) == model.tables.weight.numel()
    assert cost.dense_params == sum(parameter.numel() for parameter in model.dense_parameters())
    assert cost.table_params + cost.dense_params == sum(parameter.numel() for parameter in model.parameters())


def kept_for_backward(model, ids_BN):
    """Bytes autograd keeps on the CPU, each storage once, parameters and buffers left out."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        logit_B = model(ids_BN)
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in kept}
    assert logit_B.requires_grad
    return sum(size for pointer, size in storages.items() if pointer not in own)


@pytest.mark.parametrize("family", family_names())
def test_traffic_and_memory_count_the_activations_that_autograd_keeps_on_a_real_model(family, monkeypatch):
    spec = replace(SPEC, family=family)
    cost, model = account(spec, TRAIN, SIZES), MultiEmbeddingModel(spec, SIZES)
    compiled = kept_for_backward(model, torch.zeros(32, N, dtype=torch.int64))
    for module in (normalisation, cin, pairs):
        monkeypatch.setattr(module, "compiles", lambda x: False)
    activations = kept_for_backward(model, torch.zeros(32, N, dtype=torch.int64))
    assert compiled <= activations
    gathered, ids = 32 * N * M * columns(family) * 4, 32 * N * 8
    kept = 4 * (2 + 2) * cost.table_params + 4 * sum(SIZES) + 4 * (1 + 2 + 1) * cost.dense_params
    step = 2 * (gathered + ids) + 4 * cost.dense_params + activations + gathered
    assert cost.peak_memory_bytes == kept + step
    table_update = 2 * (6 * 4 * M * columns(family) + 2 * 4) * sum(min(32, size) for size in SIZES)
    traffic = 4 * gathered + table_update + 10 * 4 * cost.dense_params + 2 * activations
    assert cost.bytes_per_step == pytest.approx(traffic, abs=1)


def test_traffic_and_memory_follow_the_table_optimizer():
    costs = {o: account(SPEC, replace(TRAIN, table_optimizer=o), SIZES) for o in TableOptimizer}
    adam, deferred, lazy, adagrad = (costs[o] for o in TableOptimizer)
    table = adam.table_params * 4
    touched = sum(min(32, size) for size in SIZES) / sum(SIZES)
    gathered, ids = 32 * N * M * K * 4, 32 * N * 8
    assert adam.bytes_per_step - lazy.bytes_per_step == pytest.approx(table * (8 - 6 * touched), abs=1)
    steps = 4 * sum(SIZES)
    update = touched * (6 * table + 2 * steps)
    assert deferred.bytes_per_step - lazy.bytes_per_step == pytest.approx(2 * update - touched * 6 * table, abs=1)
    assert deferred.peak_memory_bytes - lazy.peak_memory_bytes == steps
    assert lazy.bytes_per_step - adagrad.bytes_per_step == pytest.approx(2 * touched * table * (2 - 1 / K), abs=1)
    assert lazy.peak_memory_bytes - adagrad.peak_memory_bytes == table * 2 - table // K
    assert adam.peak_memory_bytes - lazy.peak_memory_bytes == table - 2 * (gathered + ids)


def test_published_sizes_of_dcnv2_cost_what_their_matrices_say():
    """Criteo at 10x: one multiply-add per weight but biases and batch norms (paper: 62.6M and 7.8M)."""
    single, multi = (account(ModelSpec("dcnv2", scale=10, num_sets=m), TrainSpec(), (27_700,) * 39) for m in (1, 10))
    assert single.table_params == multi.table_params
    assert single.flops_per_sample == pytest.approx(2 * 62.6e6, rel=1e-3)
    assert multi.flops_per_sample == pytest.approx(2 * 7.8e6, rel=2e-3)


def test_counting_leaves_the_random_stream_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    account(replace(SPEC, dropout=0.3), TRAIN, SIZES)
    assert torch.equal(torch.rand(3), expected)


def test_impossible_specs_are_refused():
    with pytest.raises(ConfigError, match="does not divide"):
        account(replace(SPEC, num_sets=5), TRAIN, SIZES)
