import numpy as np
import pytest
import torch

from recscale.collapse.measurement import Weighting
from recscale.collapse.subspaces import diversity_of_rows
from recscale.collapse.tables import measure_tables
from recscale.errors import ConfigError, DataError, TrialError


@pytest.fixture
def counts(sizes):
    rng = np.random.default_rng(3)
    return [rng.integers(0, 50, size) for size in sizes]


def svd(table, columns):
    values = np.linalg.svd(table, compute_uv=False)
    return np.concatenate([values, np.zeros(columns - len(values))])


@pytest.mark.parametrize("num_sets", [1, 2, 3, 6])
def test_spectra_are_those_of_the_explicit_tables(route, random_tables, sizes, counts, num_sets):
    measured = measure_tables(random_tables, sizes, num_sets, counts)
    by_key = {(row.field, row.weighting, row.set_index): row for row in measured.rows}
    assert len(by_key) == len(measured.rows) == len(sizes) * 2 * (num_sets + 1)
    for field, table in enumerate(random_tables.double().split(sizes)):
        share = counts[field] / counts[field].sum()
        weighted = np.diag(np.sqrt(share)) @ table.numpy()
        for weighting, whole in ((Weighting.UNIFORM, table.numpy()), (Weighting.FREQUENCY, weighted)):
            parts = dict(enumerate(np.split(whole, num_sets, axis=1))) | {None: whole}
            for set_index, part in parts.items():
                row = by_key[field, weighting, set_index]
                expected = svd(part, part.shape[1])
                np.testing.assert_allclose(row.spectrum, expected, atol=1e-6 * expected[0])
                assert row.dim == len(row.spectrum) == part.shape[1]
                assert row.vocabulary_size == sizes[field]
                assert row.information_abundance == pytest.approx(expected.sum() / expected[0], rel=1e-6)
                assert row.ia_ratio == pytest.approx(row.information_abundance / row.dim)


def test_set_diversity_stands_on_the_uniform_concatenation_alone(route, random_tables, sizes, counts):
    measured = measure_tables(random_tables, sizes, 3, counts)
    for row in measured.rows:
        expected = None
        if row.set_index is None and row.weighting is Weighting.UNIFORM:
            table = random_tables.double().split(sizes)[row.field]
            expected = pytest.approx(diversity_of_rows(torch.stack(table.chunk(3, dim=1))), abs=1e-6)
        assert row.set_diversity == expected


def test_one_set_equals_the_concatenation_and_has_no_diversity(route, random_tables, sizes, counts):
    measured = measure_tables(random_tables, sizes, 1, counts)
    for single, whole in zip(measured.rows[::2], measured.rows[1::2], strict=True):
        assert (single.set_index, whole.set_index) == (0, None)
        assert single.spectrum == whole.spectrum
        assert whole.set_diversity is None


def test_equal_counts_leave_the_metrics_as_they_are(route, random_tables, sizes):
    measured = measure_tables(random_tables, sizes, 2, [np.full(size, 7) for size in sizes])
    for row in measured.select(Weighting.UNIFORM, lambda row: True):
        twin = next(
            other
            for other in measured.select(Weighting.FREQUENCY, lambda row: True)
            if (other.field, other.set_index) == (row.field, row.set_index)
        )
        assert twin.effective_rank == pytest.approx(row.effective_rank, rel=1e-5)


def test_a_table_of_zeros_measures_zero(route):
    measured = measure_tables(torch.zeros(5, 4), [5], 2, [np.zeros(5, dtype=np.int64)])
    assert {row.information_abundance for row in measured.rows} == {0.0}
    assert measured.summary().set_diversity_mean is None


def test_measuring_leaves_the_tables_and_their_gradients_alone(route, random_tables, sizes):
    weight = random_tables.clone().requires_grad_()
    measure_tables(weight, sizes, 2, None)
    assert torch.equal(weight.detach(), random_tables)
    assert weight.grad is None


def test_diverged_tables_are_a_trial_error(route):
    with pytest.raises(TrialError, match="field 1: its table holds NaN"):
        measure_tables(torch.tensor([[1.0], [float("nan")]]), [1, 1], 1, None)


@pytest.mark.parametrize(
    ("sizes", "num_sets", "counts", "message"),
    [
        ([4, 5], 2, None, "do not fit 2 fields with 9 ids"),
        ([10, 0], 2, None, "at least one id per field"),
        ([10], 4, None, "6 columns do not divide into 4 sets"),
        ([4, 6], 2, [np.ones(4), np.ones(5)], r"counts of \[4, 5\] ids do not fit"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(sizes, num_sets, counts, message):
    with pytest.raises(ConfigError, match=message):
        measure_tables(torch.ones(10, 6), sizes, num_sets, counts)


def test_negative_counts_are_refused():
    with pytest.raises(DataError, match="field 0: an id occurs -1 times"):
        measure_tables(torch.ones(2, 2), [2], 1, [np.array([3, -1])])
