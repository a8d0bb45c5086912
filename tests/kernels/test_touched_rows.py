"""Compiled updates of touched rows against the torch operations that other devices and precisions take."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn.functional import embedding

from recscale.kernels import touched_rows
from recscale.models.tables import compiles
from recscale.records import Decay, TableOptimizer, TrainSpec
from recscale.training.row_optimizers import RowOptimizer, summed_rows
from recscale.training.table_optimizers import catch_up, table_optimizer

ROWS, COLUMNS, STEPS = 40, 6, 12


def _optimizer(table: nn.Parameter, kind: TableOptimizer, decay: Decay) -> RowOptimizer:
    spec = TrainSpec(table_optimizer=kind, weight_decay=0.1, decay=decay, learning_rate=0.03)
    chosen = table_optimizer(table, spec, num_sets=2)
    assert isinstance(chosen, RowOptimizer)
    return chosen


def _backward(table: nn.Parameter, step: int) -> None:
    """Few rows are looked up often, some once, some never."""
    generator = torch.Generator().manual_seed(step)
    ids = (torch.rand(50, generator=generator) ** 3 * ROWS).long()
    weights = torch.randn(50, COLUMNS, generator=generator, dtype=torch.float64).to(table.dtype)
    table.grad = None
    (embedding(ids, table, sparse=True).sin() * weights).sum().backward()


@pytest.mark.parametrize("decay", list(Decay))
@pytest.mark.parametrize("kind", [TableOptimizer.LAZY_ADAM, TableOptimizer.ROWWISE_ADAGRAD])
def test_the_kernel_is_the_update_of_torch_operations(kind: TableOptimizer, decay: Decay) -> None:
    start = torch.randn(ROWS, COLUMNS, generator=torch.Generator().manual_seed(1))
    compiled, exact = nn.Parameter(start.clone()), nn.Parameter(start.double())
    assert (compiles(compiled), compiles(exact)) == (True, False)
    optimizers = [_optimizer(table, kind, decay) for table in (compiled, exact)]
    for step in range(STEPS):
        for table, optimizer in zip((compiled, exact), optimizers, strict=True):
            _backward(table, step)
            optimizer.step()
    torch.testing.assert_close(compiled.double(), exact, rtol=2e-5, atol=2e-5)
    ours, reference = (optimizer.state_dict()["state"][0] for optimizer in optimizers)
    for name, value in reference.items():
        torch.testing.assert_close(
            torch.as_tensor(ours[name]).double(), torch.as_tensor(value).double(), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize(
    "kind", [TableOptimizer.LAZY_ADAM, TableOptimizer.DEFERRED_ADAM, TableOptimizer.ROWWISE_ADAGRAD]
)
def test_tables_of_many_groups_come_out_the_same_however_many_threads_share_them(kind: TableOptimizer) -> None:
    """Rows of every thread's groups, duplicates among them; one thread is held to torch's operations."""
    rows, lookups, before, tables = 40_000, 6_000, torch.get_num_threads(), []
    start = torch.randn(rows, COLUMNS, generator=torch.Generator().manual_seed(3))
    for threads in (1, 2, 3, 5):
        torch.set_num_threads(threads)
        generator = torch.Generator().manual_seed(4)
        table, exact = nn.Parameter(start.clone()), nn.Parameter(start.double())
        optimizers = [_optimizer(each, kind, Decay.DECOUPLED) for each in (table, exact)]
        for _ in range(3):
            row_L = (torch.rand(lookups, generator=generator) ** 2 * rows).long()
            grad_LC = torch.randn(lookups, COLUMNS, generator=generator)
            for each, optimizer in zip((table, exact), optimizers, strict=True):
                catch_up(optimizer, lambda row_L=row_L: row_L)
                each.grad = torch.sparse_coo_tensor(
                    row_L[None], grad_LC.to(each.dtype), each.shape, check_invariants=True
                )
                optimizer.step()
        assert (optimizers[0]._slots(table) == touched_rows.FREE).all()
        torch.testing.assert_close(table.double(), exact, rtol=2e-5, atol=2e-5)
        tables.append(table)
    torch.set_num_threads(before)
    assert all(torch.equal(tables[0], table) for table in tables)


def test_without_kernels_no_shape_depends_on_the_rows_of_a_batch() -> None:
    values = torch.tensor([[1.0], [2], [3], [4]])
    grad = torch.sparse_coo_tensor(torch.tensor([[3, 1, 3, 3]]), values, (5, 1), check_invariants=True)
    rows, sums = summed_rows(grad)
    assert rows.tolist() == [1, 3, 3, 3]
    assert sums.tolist() == [[2], [8], [8], [8]]


def test_scratch_is_clean_after_every_step() -> None:
    table = nn.Parameter(torch.randn(ROWS, COLUMNS))
    optimizer = _optimizer(table, TableOptimizer.LAZY_ADAM, Decay.COUPLED)
    for step in range(3):
        _backward(table, step)
        optimizer.step()
        assert (optimizer._slots(table) == touched_rows.FREE).all()


def test_steps_after_a_restored_state_are_those_without_a_break() -> None:
    start = torch.randn(ROWS, COLUMNS, generator=torch.Generator().manual_seed(2))
    whole = nn.Parameter(start.clone())
    optimizer = _optimizer(whole, TableOptimizer.LAZY_ADAM, Decay.COUPLED)
    for step in range(6):
        if step == 3:
            halfway, state = whole.detach().clone(), deepcopy(optimizer.state_dict())
        _backward(whole, step)
        optimizer.step()
    resumed = nn.Parameter(halfway)
    again = _optimizer(resumed, TableOptimizer.LAZY_ADAM, Decay.COUPLED)
    again.load_state_dict(state)
    for step in range(3, 6):
        _backward(resumed, step)
        again.step()
    assert torch.equal(resumed, whole)
