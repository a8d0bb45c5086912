"""Lazy optimizers against torch's own, row by row."""

import pytest
import torch
from torch import nn
from torch.nn.functional import embedding

from recscale.records import Decay, TableOptimizer, TrainSpec
from recscale.training.row_optimizers import LazyAdam, RowwiseAdagrad
from recscale.training.table_optimizers import dense_adam, table_optimizer


def _tables(rows: int = 7, columns: int = 4) -> tuple[nn.Parameter, nn.Parameter]:
    start = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return nn.Parameter(start.clone()), nn.Parameter(start.clone())


def _backward(table: nn.Parameter, ids: torch.Tensor, step: int, sparse: bool) -> None:
    table.grad = None
    weights = torch.linspace(-1, 1, ids.numel() * table.shape[1], dtype=torch.float64).view(*ids.shape, -1) + step
    (embedding(ids, table, sparse=sparse).sin() * weights).sum().backward()


TORCHS_OWN = {Decay.COUPLED: torch.optim.Adam, Decay.DECOUPLED: torch.optim.AdamW}


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("decay", list(Decay))
def test_lazy_adam_equals_dense_adam_where_every_row_is_touched(weight_decay: float, decay: Decay) -> None:
    ours, reference = _tables()
    lazy = LazyAdam([ours], 0.05, weight_decay, decay)
    dense = TORCHS_OWN[decay]([reference], lr=0.05, weight_decay=weight_decay)
    ids = torch.tensor([[0, 1, 2, 3], [4, 5, 6, 0], [0, 0, 3, 2]])
    for step in range(20):
        _backward(ours, ids, step, sparse=True)
        _backward(reference, ids, step, sparse=False)
        lazy.step()
        dense.step()
    torch.testing.assert_close(ours, reference, rtol=1e-12, atol=1e-12)


def test_lazy_adam_is_torchs_sparse_adam_on_any_rows() -> None:
    ours, reference = _tables()
    # The two add eps before and after the bias correction; a tiny one takes that difference away.
    lazy = LazyAdam([ours], 0.05, 0.0, eps=1e-30)
    sparse = torch.optim.SparseAdam([reference], lr=0.05, eps=1e-30)
    for step in range(20):
        ids = torch.randint(0, 7, (3, 2), generator=torch.Generator().manual_seed(step))
        for table in (ours, reference):
            _backward(table, ids, step, sparse=True)
        lazy.step()
        sparse.step()
    torch.testing.assert_close(ours, reference, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("optimizer", [TableOptimizer.LAZY_ADAM, TableOptimizer.ROWWISE_ADAGRAD])
def test_untouched_rows_keep_their_bits(optimizer: TableOptimizer) -> None:
    table, before = _tables()
    chosen = table_optimizer(table, TrainSpec(table_optimizer=optimizer, weight_decay=0.5), num_sets=2)
    for step in range(3):
        _backward(table, torch.tensor([[1, 1], [4, 1]]), step, sparse=True)
        chosen.step()
    untouched = [0, 2, 3, 5, 6]
    assert torch.equal(table[untouched], before[untouched])
    assert not torch.isclose(table[[1, 4]], before[[1, 4]]).any()


def test_rowwise_adagrad_against_its_formula_per_set() -> None:
    table, start = _tables()
    optimizer = RowwiseAdagrad([table], learning_rate=0.1, weight_decay=0.0, num_sets=2)
    expected, accumulated = start.detach().clone(), torch.zeros(7, 2, dtype=torch.float64)
    ids = torch.tensor([[2, 2, 5]])
    for step in range(4):
        reference = nn.Parameter(expected.clone())
        _backward(reference, ids, step, sparse=False)
        _backward(table, ids, step, sparse=True)
        optimizer.step()
        for row in (2, 5):
            for part in range(2):
                columns = slice(2 * part, 2 * part + 2)
                gradient = reference.grad[row, columns]
                accumulated[row, part] += (gradient**2).mean()
                expected[row, columns] -= 0.1 * gradient / (accumulated[row, part].sqrt() + 1e-8)
    torch.testing.assert_close(table.detach(), expected, rtol=1e-12, atol=1e-12)
    assert optimizer.state[table]["sum"].shape == (7, 2)


@pytest.mark.parametrize("decay", list(Decay))
def test_dense_adam_is_torchs_own_for_tables_and_dense_parameters(decay: Decay) -> None:
    ours, reference = _tables()
    spec = TrainSpec(table_optimizer=TableOptimizer.ADAM, learning_rate=0.05, weight_decay=0.1, decay=decay)
    for build in (dense_adam([ours], spec), table_optimizer(ours, spec, num_sets=1)):
        assert type(build) is TORCHS_OWN[decay]
        assert build.defaults["fused"]
    dense, expected = dense_adam([ours], spec), TORCHS_OWN[decay]([reference], lr=0.05, weight_decay=0.1)
    for step in range(5):
        for table in (ours, reference):
            _backward(table, torch.tensor([[0, 3, 3]]), step, sparse=False)
        dense.step()
        expected.step()
    torch.testing.assert_close(ours, reference, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("optimizer", [TableOptimizer.LAZY_ADAM, TableOptimizer.ROWWISE_ADAGRAD])
def test_decoupled_decay_shrinks_touched_rows_once_and_leaves_states_alone(optimizer: TableOptimizer) -> None:
    decayed, plain = _tables()
    spec = TrainSpec(table_optimizer=optimizer, learning_rate=0.5, weight_decay=0.2, decay=Decay.DECOUPLED)
    with_decay, without = (
        table_optimizer(table, TrainSpec(**{**vars(spec), "weight_decay": decay}), num_sets=2)
        for table, decay in ((decayed, 0.2), (plain, 0.0))
    )
    start = plain.detach().clone()
    for table, chosen in ((decayed, with_decay), (plain, without)):
        _backward(table, torch.tensor([[1, 1], [4, 1]]), 0, sparse=True)
        chosen.step()
    shrunk = torch.zeros(7, 1, dtype=torch.float64).index_fill_(0, torch.tensor([1, 4]), 0.5 * 0.2)
    torch.testing.assert_close(decayed.detach(), plain.detach() - shrunk * start, rtol=1e-12, atol=1e-12)
    for name, state in without.state[plain].items():
        torch.testing.assert_close(with_decay.state[decayed][name], state, rtol=0, atol=0)
