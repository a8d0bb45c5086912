import numpy as np
import pytest
from scipy.optimize import lsq_linear, nnls

from recscale.curves.laws import POWER_LAW_WITH_PENALTY, LinearParameter
from recscale.curves.linear import solve_linear


@pytest.mark.parametrize("seed", range(3))
def test_every_problem_is_solved_like_scipys_non_negative_least_squares(seed):
    rng = np.random.default_rng(seed)
    design, target = rng.standard_normal((40, 9, 3)), rng.standard_normal((40, 9))
    found = solve_linear(POWER_LAW_WITH_PENALTY.linear, design, target)
    for index in range(40):
        expected, norm = nnls(design[index], target[index])
        np.testing.assert_allclose(found.linear[index], expected, atol=1e-10)
        assert np.linalg.norm(found.residual[index]) == pytest.approx(norm)
        np.testing.assert_allclose(found.residual[index], target[index] - design[index] @ expected, atol=1e-10)


def test_bounds_on_both_sides_are_those_of_scipys_bounded_solver():
    rng = np.random.default_rng(3)
    parameters = (LinearParameter("floor", "y", 0.0, 0.5), LinearParameter("slope", "y"))
    design, target = rng.standard_normal((30, 8, 2)), 2 * rng.standard_normal((30, 8))
    found = solve_linear(parameters, design, target)
    for index in range(30):
        expected = lsq_linear(design[index], target[index], bounds=([0, -np.inf], [0.5, np.inf]), tol=1e-12).x
        np.testing.assert_allclose(found.linear[index], expected, atol=1e-6)


def test_units_span_the_free_columns_and_leave_the_residual_out():
    rng = np.random.default_rng(4)
    design, target = rng.standard_normal((30, 9, 3)), rng.standard_normal((30, 9))
    found = solve_linear(POWER_LAW_WITH_PENALTY.linear, design, target)
    for index in range(30):
        free = found.linear[index] > 0
        assert (np.linalg.norm(found.units[index], axis=0) > 0.5).sum() == free.sum()
        np.testing.assert_allclose(found.units[index].T @ found.residual[index], 0, atol=1e-10)
        column = design[index][:, free]
        np.testing.assert_allclose(found.units[index] @ (found.units[index].T @ column), column, atol=1e-10)
