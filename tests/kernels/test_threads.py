"""Kernels in pieces on torch's threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numba import njit

from recscale.kernels import cin, cross, norm_relu_dropout, pairs, threads
from recscale.kernels.threads import share, spread, team

TASKS = Path("/proc/self/task")


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@njit(nogil=True)
def _note(times: np.ndarray, first_of: np.ndarray, weight: float, first: int, last: int) -> None:
    if first >= 0 and weight < 0:
        raise ValueError
    for place in range(first, last):
        times[place] += weight
        first_of[place] = first


@njit(nogil=True)
def _noted(start: int, number: int, count: int, given: tuple) -> None:
    spread(start, number, count, _note, given)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 1000])
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("alone", [True, False])
def test_pieces_cover_the_whole_once(number: int, count: int, alone: bool) -> None:
    torch.set_num_threads(number)
    start, found = team()
    assert found == number
    assert start != 0, "torch brings OpenMP along"
    times, first_of = np.zeros(count), np.full(count, -1)
    _noted(0 if alone else start, number, count, (times, first_of, 1.0))
    assert (times == 1).all()
    pieces = min(number, count)
    assert sorted(set(first_of.tolist())) == [share(count, piece, pieces)[0] for piece in range(pieces)]


@pytest.mark.skipif(not TASKS.exists(), reason="only Linux tells a process's threads")
def test_pieces_run_on_torchs_threads() -> None:
    torch.set_num_threads(3)
    torch.ones(1_000_000).exp()
    before = set(TASKS.iterdir())
    _noted(*team(), 50, (np.zeros(50), np.zeros(50, np.int64), 1.0))
    assert set(TASKS.iterdir()) <= before


def test_kernels_and_torchs_operations_take_turns() -> None:
    torch.set_num_threads(2)
    x, times = torch.ones(1_000_000), np.zeros(50)
    for _ in range(20):
        _noted(*team(), 50, (times, np.zeros(50, np.int64), 1.0))
        assert bool((x + x == 2).all())
    assert (times == 20).all()


@pytest.mark.parametrize("number", [1, 2])
def test_an_error_in_any_piece_is_raised(number: int) -> None:
    torch.set_num_threads(number)
    with pytest.raises(RuntimeError, match="piece of a kernel failed"):
        _noted(*team(), 4, (np.zeros(4), np.zeros(4, np.int64), -1.0))


def test_without_openmp_kernels_run_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads.ctypes, "CDLL", lambda _: object())
    assert threads._start.__wrapped__() == 0


@pytest.mark.skipif(not TASKS.exists(), reason="only Linux tells a process's threads")
def test_fewer_pieces_than_threads_end_none_of_torchs_threads() -> None:
    torch.set_num_threads(3)
    x = torch.ones(1_000_000).exp()
    before = set(TASKS.iterdir())
    for _ in range(20):
        _noted(*team(), 2, (np.zeros(2), np.zeros(2, np.int64), 1.0))
        x.exp()  # makes threads anew where some have ended
    assert set(TASKS.iterdir()) <= before


def test_threads_of_python_may_run_kernels_at_once() -> None:
    torch.set_num_threads(2)

    def one(_: int) -> bool:
        torch.set_num_threads(2)
        times = np.zeros(1000)
        for _ in range(50):
            _noted(*team(), 1000, (times, np.zeros(1000, np.int64), 1.0))
        return bool((times == 50).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, range(8)))


@pytest.mark.parametrize(("sets", "rows"), [(3, 64), (1, 64), (1, 5), (35, 3)])
def test_the_number_of_threads_changes_no_bit(sets: int, rows: int) -> None:
    rng = np.random.default_rng(0)
    x_MBH = rng.normal(size=(sets, rows, 300)).astype(np.float32)
    gamma, beta = rng.normal(size=(2, sets, 300)).astype(np.float32)
    results = []
    for number in (1, 2, 4):
        torch.set_num_threads(number)
        y, mean, variance = norm_relu_dropout.forward(x_MBH, gamma, beta, 1e-5, 2**30, seed=5)
        layer = norm_relu_dropout.Layer(x_MBH, y, x_MBH, gamma, mean, variance)
        results.append((y, mean, variance, *norm_relu_dropout.backward(layer, 1e-5, 2**30)))
    for others in zip(*results, strict=True):
        assert all(np.array_equal(others[0], other) for other in others)


def _cin(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    x_MJC, emb_MNC = (rng.normal(size=(2, count, 700)).astype(np.float32) for count in (6, 7))
    w_MQNJ, grad_MQC = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 5, 7, 6), (2, 5, 700)))
    layer = cin.Layer(w_MQNJ, x_MJC, emb_MNC, np.zeros(7, np.int64))
    return cin.forward(layer), *cin.backward(layer, grad_MQC)


def _pairs(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    s_MNN, emb_MBNK = rng.normal(size=(2, 7, 7)).astype(np.float32), rng.normal(size=(2, 90, 7, 9)).astype(np.float32)
    grad_MBK = rng.normal(size=(2, 90, 9)).astype(np.float32)
    return pairs.forward(s_MNN, emb_MBNK), *pairs.backward(s_MNN, emb_MBNK, grad_MBK)


def _cross(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    given, x0, product = rng.normal(size=(3, 50, 9)).astype(np.float32)
    layer, y, grad_x0 = cross.Layer(given, x0, product, x0[0].copy()), np.empty_like(x0), np.empty_like(x0)
    cross.forward(layer, y)
    return y, grad_x0, *cross.backward(layer, grad_x0, first_time=True)


@pytest.mark.parametrize("kernel", [_cin, _pairs, _cross])
def test_kernels_with_sums_of_pieces_are_the_same_but_for_rounding_on_any_number_of_threads(
    kernel: Callable[[np.random.Generator], tuple[np.ndarray, ...]],
) -> None:
    results = {}
    for number in (1, 2, 9, 9):
        torch.set_num_threads(number)
        found = kernel(np.random.default_rng(0))
        assert all(map(np.array_equal, found, results.setdefault(number, found)))
    for number in (2, 9):
        for ours, alone in zip(results[number], results[1], strict=True):
            np.testing.assert_allclose(ours, alone, rtol=1e-5, atol=1e-5 * np.abs(alone).max())
