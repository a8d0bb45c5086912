"""Deferred Adam against torch's dense Adam: the same rows at the same steps, whoever computes it."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from recscale.data.reader import Dataset
from recscale.errors import ConfigError
from recscale.records import Decay, ModelSpec, TableOptimizer, TrainSpec, TrialSpec
from recscale.training import deferred_adam, row_optimizers
from recscale.training.deferred_adam import HORIZON, DeferredAdam, check_deferral, missed_sums
from recscale.training.run import TrainingRun

ROWS, COLUMNS, RATE = 60, 5, 0.01
TORCHS_OWN = {Decay.COUPLED: torch.optim.Adam, Decay.DECOUPLED: torch.optim.AdamW}
WEIGHT_DECAY = {Decay.COUPLED: 0.0, Decay.DECOUPLED: 0.3}
"""L2 inside the gradient is of touched rows only, so it is no part of what the two have in common."""


def _tables(dtype: torch.dtype) -> tuple[nn.Parameter, nn.Parameter]:
    start = torch.randn(ROWS, COLUMNS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return nn.Parameter(start.to(dtype)), nn.Parameter(start.clone())


def _gradients(steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of a batch, of which some come often, some once in a hundred steps, some never; and their gradients."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        row_L = (torch.rand(6, generator=generator) ** 4 * (ROWS - 3)).long()
        yield row_L, torch.randn(len(row_L), COLUMNS, generator=generator, dtype=torch.float64)


def _step(optimizer: torch.optim.Optimizer, table: nn.Parameter, row_L: Tensor, grad_LC: Tensor) -> None:
    sparse = isinstance(optimizer, DeferredAdam)
    grad = torch.sparse_coo_tensor(row_L[None], grad_LC.to(table.dtype), table.shape, check_invariants=True)
    table.grad = grad if sparse else grad.to_dense()
    optimizer.step()


def _trained(steps: int) -> tuple[DeferredAdam, nn.Parameter]:
    """A settled table after so many steps, and its optimizer."""
    table, _ = _tables(torch.float32)
    optimizer = DeferredAdam([table], RATE, 0.0)
    for row_L, grad_LC in _gradients(steps):
        optimizer.catch_up(row_L)
        _step(optimizer, table, row_L, grad_LC)
    optimizer.settle()
    return optimizer, table


def _without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an accelerator computes it."""
    for module in (deferred_adam, row_optimizers):
        monkeypatch.setattr(module, "compiles", lambda table: False)


@pytest.mark.parametrize("decay", list(Decay))
@pytest.mark.parametrize(("dtype", "kernels"), [(torch.float32, True), (torch.float32, False), (torch.float64, False)])
def test_rows_are_those_of_dense_adam_when_looked_up_and_when_settled(
    dtype: torch.dtype, kernels: bool, decay: Decay, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, reference = _tables(dtype)
    if not kernels:
        _without_kernels(monkeypatch)
    assert deferred_adam.compiles(ours) is kernels
    deferred = DeferredAdam([ours], RATE, WEIGHT_DECAY[decay], decay)
    dense = TORCHS_OWN[decay]([reference], lr=RATE, weight_decay=WEIGHT_DECAY[decay])
    close = {"rtol": 2e-5, "atol": 5e-6} if dtype is torch.float32 else {"rtol": 1e-6, "atol": 1e-7}
    behind = 0
    for row_L, grad_LC in _gradients(700):
        behind += int(not torch.allclose(ours[row_L].double(), reference[row_L], **close))
        deferred.catch_up(row_L)
        torch.testing.assert_close(ours[row_L].double(), reference[row_L], **close)
        for optimizer, table in ((deferred, ours), (dense, reference)):
            _step(optimizer, table, row_L, grad_LC)
    assert behind > 300
    deferred.settle()
    torch.testing.assert_close(ours.double(), reference, **close)
    for name in ("exp_avg", "exp_avg_sq"):
        state = deferred.state[ours][name].double()
        torch.testing.assert_close(state, dense.state[reference][name], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("missed", [1, 2, 10, 100, 3000])
@pytest.mark.parametrize(("before", "off"), [(1, 0.05), (100, 5e-4), (1000, 2e-5), (HORIZON - 5, 1e-5)])
def test_missed_steps_are_within_their_bounds_of_one_step_after_the_other(before: int, off: float, missed: int) -> None:
    """Second moments from far below eps to far above."""
    root = torch.logspace(-16, 4, 300, dtype=torch.float64)
    mean = torch.full_like(root, 0.5)
    table = nn.Parameter(torch.zeros(1, len(root), dtype=torch.float64))
    optimizer = DeferredAdam([table], RATE, 0.0)
    _step(optimizer, table, torch.tensor([0]), torch.zeros(1, len(root)))
    state = optimizer.state[table]
    state["step"].fill_(before + missed)
    optimizer._step_V.fill_(before)
    state["exp_avg"][0], state["exp_avg_sq"][0] = mean, root**2
    optimizer.settle()
    expected = torch.zeros_like(root)
    for step in range(1, missed + 1):
        mean_step = 0.9**step * mean / (1 - 0.9 ** (before + step))
        expected -= RATE * mean_step / (root * np.sqrt(0.999**step / (1 - 0.999 ** (before + step))) + 1e-8)
    torch.testing.assert_close(table[0].detach(), expected, rtol=off, atol=0)
    torch.testing.assert_close(table[0, [0, -1]].detach(), expected[[0, -1]], rtol=1e-6, atol=0)
    torch.testing.assert_close(state["exp_avg_sq"][0], 0.999**missed * root**2, rtol=1e-9, atol=0)


def test_a_table_that_settles_now_and_then_is_the_same_to_rounding() -> None:
    (once, _), (often, _) = _tables(torch.float64), _tables(torch.float64)
    optimizers = [DeferredAdam([table], RATE, 0.0) for table in (once, often)]
    for step, (row_L, grad_LC) in enumerate(_gradients(200)):
        for table, optimizer in zip((once, often), optimizers, strict=True):
            optimizer.catch_up(row_L)
            _step(optimizer, table, row_L, grad_LC)
        if step % 7 == 0:
            optimizers[1].settle()
    for optimizer in optimizers:
        optimizer.settle()
    torch.testing.assert_close(once, often, rtol=1e-6, atol=1e-8)


def test_settled_rows_take_no_step_twice_and_a_loaded_state_owes_none() -> None:
    optimizer, table = _trained(20)
    settled = table.detach().clone()
    optimizer.settle()
    optimizer.catch_up(torch.arange(ROWS))
    assert torch.equal(table, settled)
    again = DeferredAdam([nn.Parameter(settled.clone())], RATE, 0.0)
    again.load_state_dict(optimizer.state_dict())
    again.catch_up(torch.arange(ROWS))
    assert torch.equal(again.param_groups[0]["params"][0], settled)


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("decay", list(Decay))
def test_a_row_that_missed_a_million_steps_has_come_to_rest(
    decay: Decay, kernels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kernels:
        _without_kernels(monkeypatch)
    found = []
    for missed in (20_000, 1_000_000):
        table, _ = _tables(torch.float32)
        optimizer = DeferredAdam([table], RATE, 0.0, decay)
        _step(optimizer, table, torch.arange(ROWS), torch.ones(ROWS, COLUMNS))
        optimizer.state[table]["step"].fill_(missed)
        optimizer.settle()
        found.append(table.detach())
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-7)
    assert optimizer.state[table]["exp_avg"].abs().max() == 0


class _NoWait(TorchDispatchMode):
    """Refuses operations for whose result a host has to wait for an accelerator, or whose shapes depend on values."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        waits = {torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero, torch.ops.aten.masked_select}
        assert func.overloadpacket not in waits, func
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("decay", list(Decay))
def test_an_accelerator_is_never_waited_for(decay: Decay, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_kernels(monkeypatch)
    table, _ = _tables(torch.float32)
    optimizer = DeferredAdam([table], RATE, WEIGHT_DECAY[decay], decay)
    for number, (row_L, grad_LC) in enumerate(_gradients(5)):
        grad = torch.sparse_coo_tensor(row_L[None], grad_LC.float(), table.shape, check_invariants=True)
        with _NoWait() if number else nullcontext():
            optimizer.catch_up(row_L)
            table.grad = grad
            optimizer.step()
    with pytest.raises(AssertionError), _NoWait():
        int(optimizer.state[table]["step"])


def test_kernel_threads_share_rows_and_not_bits() -> None:
    threads, tables = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            _, table = _trained(50)
            tables.append(table.detach())
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(tables[0], tables[1])
    assert torch.equal(tables[0], tables[2])


@pytest.mark.parametrize(("rate", "decay"), [(1e-2, 10.0), (0.1, 1.0), (1.0, 1.0)])
def test_decay_that_outruns_momentum_is_refused(rate: float, decay: float) -> None:
    train = TrainSpec(learning_rate=rate, weight_decay=decay, decay=Decay.DECOUPLED)
    with pytest.raises(ConfigError, match=r"learning_rate \* weight_decay is .* at most 0.05 .* table_optimizer adam"):
        check_deferral(train)
    check_deferral(replace(train, weight_decay=0.05 / rate))
    check_deferral(replace(train, table_optimizer=TableOptimizer.ADAM))
    check_deferral(replace(train, decay=Decay.COUPLED))


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("num_sets", [1, 2])
def test_a_training_is_that_of_dense_adam(num_sets: int, small_dataset: Dataset) -> None:
    model = ModelSpec("dnn", scale=num_sets, num_sets=num_sets, base_dim=4, hidden_sizes=(8,), dropout=0.0)
    tables = {}
    for optimizer in (TableOptimizer.ADAM, TableOptimizer.DEFERRED_ADAM, TableOptimizer.LAZY_ADAM):
        train = TrainSpec(batch_size=128, table_optimizer=optimizer, weight_decay=0.0)
        spec = TrialSpec(small_dataset.manifest.fingerprint, model, train, seed=0)
        run = TrainingRun(spec, small_dataset, torch.device("cpu"))
        run.model.train()
        for batch in islice(run.splits["train"].epoch(128, 0, 0), 30):
            run._optimize(batch)
        run.evaluate()
        tables[optimizer] = run.model.tables.weight.detach()
    dense = tables[TableOptimizer.ADAM]
    away = {name: (table - dense).abs().max().item() for name, table in tables.items()}
    assert away[TableOptimizer.DEFERRED_ADAM] < 2e-4
    assert away[TableOptimizer.LAZY_ADAM] > 0.005


def test_sums_to_infinity_are_those_of_their_terms() -> None:
    for sums, fade, correction in zip(missed_sums(1.0), (0.9, 0.9 / 0.999**0.5), (0.0, 1.0), strict=True):
        for step in (0, 1, 77, HORIZON):
            term = np.arange(1, 1500, dtype=np.float64)
            root = np.sqrt(1 - 0.999 ** (step + term)) if correction else 1.0
            expected = (fade**term * root / (1 - 0.9 ** (step + term))).sum()
            assert sums[step] == pytest.approx(expected, rel=1e-12)
