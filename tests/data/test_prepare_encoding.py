import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recscale.data import shuffle
from recscale.data.encoding import hash_ids, log_squared, quantile_bins, quantile_edges
from recscale.data.permutation import RowPermutation
from recscale.data.shuffle import Shuffler


@given(st.lists(st.integers(-1000, 10**9), min_size=1))
def test_whole_numbers_follow_the_papers_rule(values):
    expected = [str(v - 2) if v <= 2 else str(math.floor(math.log(v) ** 2)) for v in values]
    assert log_squared(pa.array(values, pa.float64())).to_pylist() == expected


@pytest.mark.parametrize(
    ("value", "token"),
    [
        (math.nan, ""),
        (2.0, "0"),
        (2.9, "1"),
        (1.5, "-1"),
        (0.0, "-2"),
        (-0.5, "-3"),
        (1e300, "477170"),
    ],
)
def test_missing_and_fractions(value, token):
    assert log_squared(pa.array([value])).to_pylist() == [token]


@given(st.lists(st.integers(-20, 20), min_size=1), st.integers(2, 12))
def test_a_bin_starts_at_a_value_and_no_bin_of_train_is_empty(values, num_quantiles):
    value_V, count_V = np.unique(np.array(values, float), return_counts=True)
    edges = quantile_edges(value_V, count_V, num_quantiles)
    assert len(edges) <= num_quantiles - 1
    assert (np.diff(edges) > 0).all()
    tokens = quantile_bins(edges)(pa.array(np.array(values, float))).to_pylist()
    assert len(set(tokens)) == len(edges) + 1
    for value, token in zip(values, tokens, strict=True):
        low, high = map(float, token[1:-1].split(","))
        assert low <= value < high


def test_quantiles_of_distinct_values_are_equal():
    edges = quantile_edges(np.arange(1000.0), np.ones(1000), 10)
    tokens = quantile_bins(edges)(pa.array(np.arange(1000.0))).to_pylist()
    assert set(Counter(tokens).values()) == {100}


def test_missing_is_a_bin_of_its_own_and_a_field_without_values_has_no_edges():
    edges = quantile_edges(np.empty(0), np.empty(0), 4)
    assert quantile_bins(edges)(pa.array([math.nan, 1.0])).to_pylist() == ["", "[-inf, inf)"]


def test_hashes_spread_over_all_buckets():
    ids = hash_ids(pa.array([f"v{n}" for n in range(5000)]), 10)
    assert set(ids.tolist()) == set(range(1, 11))
    assert np.bincount(ids)[1:].min() > 400


@pytest.mark.parametrize("rows", [1, 2, 3, 10, 1000, 4096, 4097, 100_003])
def test_places_are_a_permutation(rows):
    place = RowPermutation(rows, seed=7)(np.arange(rows))
    assert np.array_equal(np.sort(place), np.arange(rows))
    assert np.array_equal(RowPermutation(rows, seed=7)(np.arange(rows)), place)


def test_small_permutations_are_about_equally_likely():
    seen = Counter(tuple(RowPermutation(3, seed)(np.arange(3)).tolist()) for seed in range(3000))
    assert len(seen) == 6
    chi_square = sum((count - 500) ** 2 / 500 for count in seen.values())
    assert chi_square < 30


def test_neighbours_are_torn_apart():
    place = RowPermutation(10_000, seed=1)(np.arange(10_000))
    assert abs(np.corrcoef(place[:-1], place[1:])[0, 1]) < 0.05
    assert abs(np.corrcoef(place, np.arange(10_000))[0, 1]) < 0.05


@pytest.mark.parametrize("held_bytes", [0, 3000, 1 << 28])
@pytest.mark.parametrize("ids_max", [99, 256, 257, 65_536, 65_537, 2**31 - 1])
def test_rows_come_back_by_place(tmp_path, monkeypatch, held_bytes, ids_max):
    """Whatever of them is spilled, and whatever type is the narrowest for their ids."""
    monkeypatch.setattr(shuffle, "HELD_BYTES", held_bytes)
    random = np.random.default_rng(0)
    rows, fields = 1000, 3
    ids_RN = random.integers(0, ids_max, (rows, fields)).astype(np.int32)
    ids_RN[0] = ids_max - 1
    labels = random.integers(0, 2, rows).astype(np.uint8)
    shuffler = Shuffler(tmp_path / "buckets", rows, [ids_max] * fields)
    shuffler.bucket_rows = 64
    place = random.permutation(rows)
    for part in np.array_split(np.arange(rows), 7):
        shuffler.add(shuffler.pack(place[part], list(ids_RN[part].T), labels[part]))
    blocks = [replace(block, ids=block.ids.copy(), labels=block.labels.copy()) for block in shuffler.ordered()]
    order = np.argsort(place)
    assert np.array_equal(np.concatenate([block.ids for block in blocks]), ids_RN[order])
    assert np.array_equal(np.concatenate([block.labels for block in blocks]), labels[order])
    assert [block.start for block in blocks] == list(range(0, rows, 64))
    assert list((tmp_path / "buckets").iterdir()) == []
