"""Vectors and tiles of kernels against numpy, at places of every kind."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from recscale.kernels.blocks import give, take, zero_block
from recscale.kernels.tiles import plus_products, sums_of_products, weights, zeros
from recscale.kernels.vectors import LANES, everywhere, load, plus_product, product, store, total, zero

SHAPE = (3, 4, 2 * LANES + 5)


@njit
def _worked(x: np.ndarray, y: np.ndarray, place: tuple[int, int, int], to: np.ndarray) -> float:
    given, other = load(x, place), load(y, place)
    store(to, (0, 0), product(given, other))
    store(to, (1, 0), plus_product(given, other, everywhere(x, place)))
    store(to, (2, 0), zero())
    return total(given)


@pytest.mark.parametrize("place", [(0, 0, 0), (2, 3, LANES + 5), (1, 2, 3)])
def test_vectors_are_numpys_from_a_place_on(place: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, *SHAPE)).astype(np.float32)
    to = np.full((3, LANES + 1), 7, np.float32)
    found = _worked(x, y, place, to)
    i, j, c = place
    given, other = x[i, j, c : c + LANES].astype(np.float64), y[i, j, c : c + LANES].astype(np.float64)
    expected = np.stack([given * other, given + other * x[place], np.zeros(LANES)])
    np.testing.assert_allclose(to[:, :LANES], expected, rtol=1e-6, atol=1e-6)
    assert (to[:, LANES] == 7).all()
    assert found == pytest.approx(given.sum(), rel=1e-5, abs=1e-5)


@njit
def _mixed(w: np.ndarray, x: np.ndarray, to: np.ndarray) -> None:
    sums = zeros()
    for j in range(len(x)):
        sums = plus_products(sums, weights(w, (0, j), (1, j), (2, j), (3, j)), load(x, (j, 0)))
    for i in range(4):
        store(to, (i, 0), sums[i])


def test_four_rows_are_summed_at_once() -> None:
    rng = np.random.default_rng(1)
    w, x = rng.normal(size=(4, 9)).astype(np.float32), rng.normal(size=(9, LANES)).astype(np.float32)
    to = np.empty((4, LANES), np.float32)
    _mixed(w, x, to)
    np.testing.assert_allclose(to, w.astype(np.float64) @ x, rtol=1e-5, atol=1e-5)


@njit
def _products(left: np.ndarray, right: np.ndarray, columns: int, to: np.ndarray) -> None:
    sums = sums_of_products(left, 1, right, 2, columns)
    for i in range(4):
        for j in range(3):
            to[i, j] = sums[i][j]


def test_sums_of_products_are_a_part_of_the_matrix_product() -> None:
    rng = np.random.default_rng(2)
    left, right = rng.normal(size=(2, 6, 5 * LANES)).astype(np.float32)
    to = np.empty((4, 3), np.float32)
    _products(left, right, 4 * LANES, to)
    expected = left[1:5, : 4 * LANES].astype(np.float64) @ right[2:5, : 4 * LANES].T
    np.testing.assert_allclose(to, expected, rtol=1e-5, atol=1e-4)


def test_sums_stay_in_registers_and_no_references_are_counted() -> None:
    _mixed(np.zeros((4, 9), np.float32), np.zeros((9, LANES), np.float32), np.zeros((4, LANES), np.float32))
    code = _mixed.inspect_llvm(_mixed.signatures[0])
    assert f"phi <{LANES} x float>" in code
    assert "NRT_incref" not in code


@njit
def _through_a_block(given: np.ndarray, start: int, columns: int, taking: np.ndarray) -> np.ndarray:
    block = zero_block(len(given) + 1, columns)
    block[:] = 9
    take(given, start, columns, block)
    give(block, start, columns, taking)
    return block


@pytest.mark.parametrize(("start", "columns"), [(0, 16), (16, 16), (32, 16), (0, 64), (0, 37)])
def test_a_block_holds_columns_and_zeros_beyond_the_last(start: int, columns: int) -> None:
    given = np.random.default_rng(3).normal(size=(4, 37)).astype(np.float32)
    taking = np.full((4, 37), 5, np.float32)
    block = _through_a_block(given, start, columns, taking)
    held = min(columns, 37 - start)
    np.testing.assert_array_equal(block[:4, :held], given[:, start : start + held])
    assert (block[:4, held:columns] == 0).all()
    assert (block[4:] == 9).all()
    assert block.ctypes.data % 64 == 0
    np.testing.assert_array_equal(taking[:, start : start + held], given[:, start : start + held])
    assert (np.delete(taking, np.s_[start : start + held], 1) == 5).all()


@pytest.mark.parametrize("wrong", [np.zeros(64), np.zeros(64, np.float32)[::2], np.zeros((64, 2), np.float32).T])
def test_other_arrays_are_refused(wrong: np.ndarray) -> None:
    @njit
    def read(array: np.ndarray, place: tuple[int, ...]) -> float:
        return total(load(array, place))

    with pytest.raises(TypingError, match="contiguous arrays of float32"):
        read(wrong, (0,) * wrong.ndim)


OTHER_WIDTH = """
import sys
import llvmlite.binding as llvm
told = llvm.get_host_cpu_features
wide = told().get("avx512f")
llvm.get_host_cpu_features = lambda: {"avx512f": not wide}
from recscale.kernels import vectors
llvm.get_host_cpu_features = told
assert vectors.LANES == (8 if wide else 16)
import pytest
sys.exit(pytest.main(["-q", "-m", "not slow", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


@pytest.mark.slow
def test_kernels_are_right_with_the_vectors_of_other_cpus(tmp_path: Path) -> None:
    tests = Path(__file__).parents[1]
    files = [tests / name for name in ("kernels/test_vectors.py", "models/test_cin.py", "models/test_pairs.py")]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", OTHER_WIDTH, *map(str, files)]
    found = subprocess.run(command, env=environment, cwd=tests.parent, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
