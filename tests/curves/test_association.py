"""Correlations against scipy, and intervals that cover the truth although seeds of one cell are alike."""

import re

import numpy as np
import pytest
from scipy import stats

from recscale.curves.association import Pair, associate
from recscale.errors import ConfigError, DataError


def paired(x, y, cell):
    """Trials of numbered cells."""
    return [
        Pair((float(c + 1), 1), float(a), float(b), f"trial{i}")
        for i, (a, b, c) in enumerate(zip(x, y, cell, strict=True))
    ]


def simulated(rng, cells, seeds, rho):
    """Cells around which seeds vary, both with correlation rho, so that all trials have it too."""
    covariance = [[1, rho], [rho, 1]]
    cell = np.repeat(np.arange(cells), seeds)
    between, within = (rng.multivariate_normal([0, 0], covariance, size) for size in (cells, cell.size))
    return paired(*(between[cell] + 0.3 * within).T, cell)


@pytest.mark.parametrize("decimals", [1, 8])
def test_values_are_scipys_also_with_ties(decimals):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 15)).round(decimals)
    found = associate(paired(x, y, np.repeat(np.arange(5), 3)))
    assert found.pearson.value == pytest.approx(stats.pearsonr(x, y).statistic)
    assert found.spearman.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert (found.trials, found.cells, found.note) == (15, 5, "")
    assert found.spearman.low <= found.spearman.value <= found.spearman.high


def test_replicates_are_correlations_of_the_drawn_cells():
    """With as many draws as replicates, the extreme quantiles are the extremes of scipy on the same draws."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 12))
    cell = np.repeat(np.arange(4), 3)
    found = associate(paired(x, y, cell), level=0.999999, replicates=200, seed=5)
    drawn = np.random.default_rng(5).multinomial(4, [0.25] * 4, size=200)
    samples = [np.concatenate([np.flatnonzero(cell == c) for c in range(4) for _ in range(row[c])]) for row in drawn]
    for method, coefficient in ((stats.pearsonr, found.pearson), (stats.spearmanr, found.spearman)):
        values = [method(x[sample], y[sample]).statistic for sample in samples]
        assert (coefficient.low, coefficient.high) == pytest.approx((min(values), max(values)))


@pytest.mark.parametrize(("cells", "seeds"), [(4, 3), (5, 1), (5, 3), (8, 2)])
@pytest.mark.parametrize("rho", [0.0, 0.7])
def test_intervals_cover_the_truth_as_often_as_they_say(cells, seeds, rho):
    rng = np.random.default_rng(cells * seeds)
    found = [associate(simulated(rng, cells, seeds, rho), replicates=2000).pearson for _ in range(150)]
    assert np.mean([each.low <= rho <= each.high for each in found]) >= 0.86
    assert np.mean([each.clear for each in found]) <= (0.14 if rho == 0 else 1)


def test_a_strong_association_is_seen():
    rng = np.random.default_rng(3)
    clear = [associate(simulated(rng, 8, 3, 0.95), replicates=500).spearman.clear for _ in range(40)]
    assert np.mean(clear) > 0.9


def test_seeds_of_one_cell_are_no_new_evidence():
    rng = np.random.default_rng(4)
    x, y, cell = rng.normal(size=5), rng.normal(size=5), np.arange(5)
    once, often = (associate(paired(np.repeat(x, n), np.repeat(y, n), np.repeat(cell, n))) for n in (1, 20))
    assert (often.pearson.low, often.pearson.high) == pytest.approx((once.pearson.low, once.pearson.high))


def test_shifting_and_stretching_change_nothing():
    """So the gain over a base has the correlations of the AUC itself."""
    pairs = simulated(np.random.default_rng(5), 6, 2, 0.5)
    moved = [Pair(p.cell, p.x, 0.01 * p.y - 0.7, p.trial_id) for p in pairs]
    of_auc, of_gain = associate(pairs), associate(moved)
    for one, other in ((of_auc.pearson, of_gain.pearson), (of_auc.spearman, of_gain.spearman)):
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))


@pytest.mark.parametrize(
    ("x", "y", "cell", "message"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], [0, 0, 1, 1], "4 trials in 2 cells .* needs 3 cells: add scales"),
        ([2, 2, 2], [1, 2, 3], [0, 1, 2], "IA/K is 2 in all 3 trials: add trials in which it differs"),
        ([1, 2, 3], [5, 5, 5], [0, 1, 2], "AUC is 5 in all 3 trials"),
    ],
)
def test_what_has_no_correlation_says_what_to_add(x, y, cell, message):
    found = associate(paired(x, y, cell), x_name="IA/K", y_name="AUC")
    assert (found.pearson, found.spearman) == (None, None)
    assert re.search(message, found.note)


@pytest.mark.parametrize("cell", [[0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 3]])
def test_few_cells_give_a_value_without_an_interval(cell):
    found = associate(paired(range(6), [1, 3, 2, 5, 4, 6], cell))
    assert found.pearson.value > 0.5
    assert (found.pearson.low, found.spearman.high, found.spearman.clear) == (None, None, False)
    assert "give no interval: add scales" in found.note


@pytest.mark.parametrize(
    ("options", "message"), [({"level": 90}, "level 90 is not between"), ({"replicates": 9}, "9 bootstrap replicates")]
)
def test_settings_that_give_no_interval_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        associate(paired([1, 2, 3], [1, 2, 4], [0, 1, 2]), **options)


def test_a_value_that_is_not_finite_is_refused():
    with pytest.raises(DataError, match="trial trial1: x = nan"):
        associate(paired([1, np.nan, 3], [1, 2, 4], [0, 1, 2]))
