import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recscale.collapse.spectra import (
    effective_rank,
    information_abundance,
    participation_ratio,
    spectrum_of_gram,
    spectrum_of_rows,
    stable_rank,
)

METRICS = (information_abundance, effective_rank, stable_rank, participation_ratio)


@st.composite
def random_table(draw):
    """A table of 1-40 rows and 1-8 columns, some rows zero, at any magnitude."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    rows, columns = draw(st.integers(1, 40)), draw(st.integers(1, 8))
    table = rng.standard_normal((rows, columns)) * rng.integers(0, 2, (rows, 1))
    table[0] = rng.standard_normal(columns)
    return table * 10.0 ** draw(st.integers(-6, 6))


def padded_svd(table):
    values = np.linalg.svd(table, compute_uv=False)
    return np.concatenate([values, np.zeros(table.shape[1] - len(values))])


@given(random_table())
@settings(max_examples=60, deadline=None)
def test_both_routes_agree_with_numpy_svd(table):
    expected = padded_svd(table)
    rows = torch.from_numpy(table)
    np.testing.assert_allclose(spectrum_of_rows(rows), expected, atol=1e-12 * expected[0])
    np.testing.assert_allclose(spectrum_of_gram(rows.T @ rows), expected, atol=3e-7 * expected[0])


@given(random_table())
@settings(max_examples=60, deadline=None)
def test_metrics_are_ordered_and_bounded_by_the_rank(table):
    spectrum = spectrum_of_rows(torch.from_numpy(table))
    rank = np.linalg.matrix_rank(table)
    slack = 1 + 1e-9
    assert stable_rank(spectrum) * slack >= 1
    assert stable_rank(spectrum) <= information_abundance(spectrum) * slack
    assert information_abundance(spectrum) <= rank * slack
    assert rank <= min(table.shape)
    for metric in (effective_rank, participation_ratio):
        assert metric(spectrum) * slack >= 1
        assert metric(spectrum) <= rank * slack


@given(random_table(), st.floats(1e-5, 1e5), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_metrics_do_not_change_with_scale_or_rotation(table, factor, seed):
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((table.shape[1],) * 2))
    before = spectrum_of_rows(torch.from_numpy(table))
    after = spectrum_of_rows(torch.from_numpy(factor * table @ rotation))
    for metric in METRICS:
        assert metric(after) == pytest.approx(metric(before), rel=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_known_tables(metric):
    assert metric(spectrum_of_rows(torch.eye(5, dtype=torch.float64))) == pytest.approx(5)
    rank_one = torch.outer(torch.arange(1.0, 9.0), torch.tensor([1.0, -2.0, 3.0])).double()
    assert metric(spectrum_of_rows(rank_one)) == pytest.approx(1)
    assert metric(spectrum_of_gram(rank_one.T @ rank_one)) == 1
    assert metric(np.zeros(4)) == 0


def test_metrics_follow_their_formulas():
    spectrum = np.array([4.0, 2.0, 1.0, 0.0])
    shares = spectrum[:3] / 7
    assert information_abundance(spectrum) == pytest.approx(7 / 4)
    assert stable_rank(spectrum) == pytest.approx(21 / 16)
    assert participation_ratio(spectrum) == pytest.approx(21**2 / (256 + 16 + 1))
    assert effective_rank(spectrum) == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)))


def test_gram_route_resolves_small_values(with_spectrum):
    known = [1.0, 1e-2, 1e-4, 1e-6]
    table = torch.from_numpy(with_spectrum(500, known))
    np.testing.assert_allclose(spectrum_of_gram(table.T @ table), known, rtol=1e-3)
