"""Kernels in pieces on several threads."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from recscale.kernels import norm_relu_dropout
from recscale.kernels.threads import spread


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 2, 7])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_pieces_cover_the_whole_once(threads, number: int, count: int) -> None:
    torch.set_num_threads(number)
    pieces: list[tuple[int, int]] = []
    spread(lambda first, last: pieces.append((first, last)), count)
    assert sorted(place for first, last in pieces for place in range(first, last)) == list(range(count))
    assert len(pieces) == max(min(number, count), 1)


def test_an_error_in_any_piece_is_raised(threads) -> None:
    torch.set_num_threads(2)

    def fail_at_the_start(first: int, last: int) -> None:
        if first == 0:
            raise ValueError("the first piece")

    with pytest.raises(ValueError, match="the first piece"):
        spread(fail_at_the_start, 4)


def test_the_number_of_threads_changes_no_bit(threads) -> None:
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
