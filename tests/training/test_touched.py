"""Touched rows: by kernels (float32 on a CPU) and by torch (float64), against `torch.unique`."""

from itertools import pairwise

import pytest
import torch

from recscale.models.tables import compiles
from recscale.training.touched import RowFinder

OFFSETS = torch.tensor([0, 3, 4, 44])


@pytest.fixture(params=[torch.float32, torch.float64])
def weight(request: pytest.FixtureRequest) -> torch.Tensor:
    table = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=request.param)
    assert compiles(table) is (request.param is torch.float32)
    return table


def test_finds_each_row_once_by_field_and_where_it_is_first(weight: torch.Tensor) -> None:
    finder, generator = RowFinder(), torch.Generator().manual_seed(1)
    for lookups in (200, 30, 1):  # again and again: scratch is left clean
        row_L = torch.randint(0, 44, (lookups,), generator=generator)  # none of the last field
        row_U, place_U, sizes = finder.find(row_L, weight, OFFSETS)
        assert row_U.sort().values.tolist() == row_L.unique().tolist()
        assert place_U.tolist() == [row_L.tolist().index(row) for row in row_U.tolist()]
        for (start, stop), rows in zip(pairwise([0, 3, 4, 44, 50]), row_U.split(sizes), strict=True):
            assert ((rows >= start) & (rows < stop)).all()


def test_moves_are_difference_and_sum(weight: torch.Tensor) -> None:
    rows = torch.tensor([7, 0, 49])
    old = torch.randn_like(weight[rows])
    moved, total = RowFinder().moves(rows, weight, old.clone())
    torch.testing.assert_close(moved, weight[rows] - old)
    torch.testing.assert_close(total, weight[rows] + old)
