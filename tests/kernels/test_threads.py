"""Kernels in pieces on torch's threads."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numba import njit

from recscale.kernels import norm_relu_dropout, threads
from recscale.kernels.threads import share, spread, team


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


def test_pieces_are_those_of_torchs_threads_beside_its_operations() -> None:
    torch.set_num_threads(2)
    x, times = torch.randn(300, 300), np.zeros(50)
    for _ in range(20):
        expected = x @ x
        _noted(*team(), 50, (times, np.zeros(50, np.int64), 1.0))
        assert torch.equal(x @ x, expected)
    assert (times == 20).all()


@pytest.mark.parametrize("number", [1, 2])
def test_an_error_in_any_piece_is_raised(number: int) -> None:
    torch.set_num_threads(number)
    with pytest.raises(RuntimeError, match="piece of a kernel failed"):
        _noted(*team(), 4, (np.zeros(4), np.zeros(4, np.int64), -1.0))


def test_without_openmp_kernels_run_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads.ctypes, "CDLL", lambda _: object())
    assert threads._start.__wrapped__() == 0


def test_the_number_of_threads_changes_no_bit() -> None:
    rng = np.random.default_rng(0)
    x_MBH = rng.normal(size=(3, 64, 300)).astype(np.float32)
    gamma, beta = rng.normal(size=(2, 3, 300)).astype(np.float32)
    results = []
    for number in (1, 2, 4):
        torch.set_num_threads(number)
        y, mean, variance = norm_relu_dropout.forward(x_MBH, gamma, beta, 1e-5, 2**30, seed=5)
        layer = norm_relu_dropout.Layer(x_MBH, y, x_MBH, gamma, mean, variance)
        results.append((y, mean, variance, *norm_relu_dropout.backward(layer, 1e-5, 2**30)))
    for others in zip(*results, strict=True):
        assert all(np.array_equal(others[0], other) for other in others)
