"""The rows behind the collapse figures, against numpy on the raw rows."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from dashboards.collapse_tables import (
    SPECTRUM_POINTS,
    Choice,
    Series,
    Weighting,
    abundance_against_scale,
    choices,
    diversity_against_scale,
    field_abundance,
    field_spectra,
    median_spectrum,
    rows_of,
)
from dashboards.tables import Model

DCNV2 = Model("dcnv2", "fair")
LARGEST = Choice("dcnv2", 10.0)


@pytest.fixture(scope="module")
def rows(results):
    return rows_of(results, LARGEST, Weighting.UNIFORM)


def test_three_readings_of_abundance(results, trial_rows):
    table = {row.series: row.points for row in abundance_against_scale(results, DCNV2, Weighting.UNIFORM)}
    assert list(table) == list(Series)
    assert [point.scale for point in table[Series.SINGLE]] == [1, 2, 4, 10]
    largest = [r for r in trial_rows if (r["family"], r["arm"], r["scale"]) == ("dcnv2", "ME", 10)]
    assert table[Series.PER_SET][-1].mean == pytest.approx(np.mean([r["ia_ratio_mean"] for r in largest]))
    assert table[Series.CONCATENATED][-1].mean == pytest.approx(np.mean([r["ia_concat_ratio_mean"] for r in largest]))


def test_a_reading_that_was_not_recorded_is_left_out(results):
    table = abundance_against_scale(results, DCNV2, Weighting.FREQUENCY)
    assert [row.series for row in table] == [Series.SINGLE, Series.PER_SET]


def test_diversity_is_of_several_sets_only(results):
    assert {point.arm for point in diversity_against_scale(results, DCNV2)} == {"ME"}


def test_choices_start_with_the_largest_scale(results):
    assert [choice.scale for choice in choices(results)[:4]] == [10, 4, 2, 1]
    assert choices(results)[0] == LARGEST
    assert choices(replace(results, spectra=None)) == []


def test_fields_are_ordered_by_vocabulary_and_averaged_over_sets(rows):
    table = field_abundance(rows)
    per_set = [row for row in table if (row.series, row.moment) == (Series.PER_SET, "best")]
    assert [row.rank for row in per_set] == list(range(12))
    assert sorted(row.vocabulary_size for row in per_set) == [row.vocabulary_size for row in per_set]
    raw = [r.ia_ratio for r in rows if (r.arm, r.moment, r.field) == ("ME", "best", "C7") and r.set_index is not None]
    assert len(raw) == 10
    assert next(row.ia_ratio for row in per_set if row.field == "C7") == pytest.approx(np.mean(raw))


def test_spectra_are_normalised_thinned_and_end_at_the_rank(rows):
    table = field_spectra(rows, "ME", "best")
    assert [spectrum.vocabulary_size for spectrum in table] == sorted(s.vocabulary_size for s in table)
    assert [spectrum.third for spectrum in table] == [0] * 4 + [1] * 4 + [2] * 4
    for spectrum in table:
        assert spectrum.index[0] == 1
        assert spectrum.index[-1] == min(spectrum.vocabulary_size, 100)
        assert len(spectrum.index) <= SPECTRUM_POINTS
        assert spectrum.normalized[0] == 1
        assert all(value > 0 for value in spectrum.normalized)


def test_thinned_values_are_those_of_the_spectrum(rows):
    spectrum = field_spectra(rows, "SE", "best")[-1]
    raw_K = np.array(next(r.spectrum for r in rows if (r.arm, r.moment, r.field) == ("SE", "best", spectrum.field)))
    np.testing.assert_allclose(spectrum.normalized, raw_K[np.array(spectrum.index) - 1] / raw_K.max())


def test_an_erased_table_has_an_empty_spectrum(rows):
    erased = [replace(row, spectrum=(0.0,) * 4) for row in rows]
    assert {spectrum.index for spectrum in field_spectra(erased, "SE", "best")} == {()}
    assert median_spectrum(field_spectra(erased, "SE", "best")) == []


def test_the_median_stops_where_most_fields_have_ended(rows):
    median = median_spectrum(field_spectra(rows, "SE", "initial"))
    assert median[0] == (1, 1.0)
    assert all(later <= earlier + 0.05 for (_, earlier), (_, later) in pairwise(median))
