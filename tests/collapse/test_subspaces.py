import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles

from recscale.collapse.subspaces import diversity_of_gram, diversity_of_rows


@pytest.fixture(params=["rows", "gram"])
def diversity(request):
    """The set diversity of a list of D x K tables, by either route."""

    def measure(sets):
        stacked = torch.stack([torch.from_numpy(table) for table in sets])
        if request.param == "rows":
            return diversity_of_rows(stacked)
        side_by_side = torch.cat(list(stacked), dim=1)
        return diversity_of_gram(side_by_side.T @ side_by_side, len(sets))

    return measure


def table(seed, rows=60, columns=4):
    return np.random.default_rng(seed).standard_normal((rows, columns))


def test_identical_sets_have_no_diversity(diversity):
    assert diversity([table(0), table(0), table(0)]) == pytest.approx(0, abs=1e-7)


def test_sets_with_one_column_space_have_no_diversity(diversity):
    mixing = np.random.default_rng(1).standard_normal((4, 4))
    assert diversity([table(0), table(0) @ mixing]) == pytest.approx(0, abs=1e-7)


def test_orthogonal_column_spaces_are_fully_diverse(diversity):
    basis, _ = np.linalg.qr(table(0, columns=8))
    assert diversity([basis[:, :4] @ table(1, 4), basis[:, 4:] @ table(2, 4)]) == pytest.approx(1, abs=1e-9)


def test_diversity_follows_scipy_subspace_angles(diversity):
    sets = [table(seed) for seed in range(3)]
    cosines = [np.cos(subspace_angles(sets[m], sets[n])).mean() for m, n in ((0, 1), (0, 2), (1, 2))]
    assert diversity(sets) == pytest.approx(1 - np.mean(cosines), abs=1e-9)


def test_null_directions_are_left_out(diversity):
    first, second = table(0), table(1)
    first[:, 3] = first[:, 0] + first[:, 1]
    second[:, 2] = 0
    expected = 1 - np.cos(subspace_angles(first[:, :3], second[:, [0, 1, 3]])).mean()
    assert diversity([first, second]) == pytest.approx(expected, abs=1e-6)


def test_spaces_of_different_rank_are_compared_on_the_smaller(diversity):
    first, second = table(0), table(1)
    second[:, 1:] = 0
    expected = 1 - np.cos(subspace_angles(first, second[:, :1])).mean()
    assert diversity([first, second]) == pytest.approx(expected, abs=1e-9)


def test_a_zero_set_has_no_column_space_to_compare(diversity):
    assert diversity([table(0), np.zeros((60, 4))]) is None


def test_fewer_ids_than_columns_fill_the_space(diversity):
    assert diversity([table(0, rows=3), table(1, rows=3)]) == pytest.approx(0, abs=1e-6)
