from statistics import fmean

import numpy as np
import pyarrow as pa
import pytest

from recscale.collapse.measurement import SPECTRA_SCHEMA, spectra_table
from recscale.collapse.tables import measure_tables
from recscale.errors import ConfigError


@pytest.fixture
def measured(random_tables, sizes):
    rng = np.random.default_rng(0)
    return measure_tables(random_tables, sizes, 2, [rng.integers(1, 9, size) for size in sizes])


def test_summary_is_the_mean_over_fields_and_sets(measured):
    frame = spectra_table([("best", 7, measured)], ["a", "b", "c", "d"]).to_pandas()
    sets, whole = frame[frame["set_index"].notna()], frame[frame["set_index"].isna()]
    uniform, weighted = (sets[sets.weighting == name] for name in ("uniform", "frequency"))
    summary = measured.summary()
    assert summary.ia_mean == pytest.approx(uniform.information_abundance.mean())
    assert summary.ia_ratio_mean == pytest.approx(uniform.information_abundance.mean() / 3)
    assert summary.effective_rank_mean == pytest.approx(uniform.effective_rank.mean())
    assert summary.stable_rank_mean == pytest.approx(uniform.stable_rank.mean())
    assert summary.participation_ratio_mean == pytest.approx(uniform.participation_ratio.mean())
    assert summary.weighted_ia_ratio_mean == pytest.approx(weighted.ia_ratio.mean())
    assert summary.ia_concat_ratio_mean == pytest.approx(whole[whole.weighting == "uniform"].ia_ratio.mean())
    assert summary.weighted_ia_concat_ratio_mean == pytest.approx(whole[whole.weighting == "frequency"].ia_ratio.mean())
    assert summary.set_diversity_mean == pytest.approx(whole.set_diversity.mean())


def test_table_carries_every_row(measured):
    table = spectra_table([("initial", 0, measured), ("evaluation", 5, measured)], ["a", "b", "c", "d"])
    assert table.schema == SPECTRA_SCHEMA
    assert table.num_rows == 2 * len(measured.rows)
    assert table["moment"].unique().to_pylist() == ["initial", "evaluation"]
    assert table["step"].unique().to_pylist() == [0, 5]
    assert table["spectrum"].to_pylist()[: len(measured.rows)] == [list(row.spectrum) for row in measured.rows]
    assert fmean(table["dim"].to_pylist()) == pytest.approx(4)
    assert table["set_index"].null_count == 2 * 4 * 2


def test_no_measurements_make_an_empty_table():
    assert spectra_table([], []).equals(pa.Table.from_pylist([], schema=SPECTRA_SCHEMA))


def test_an_unknown_moment_is_refused(measured):
    with pytest.raises(ValueError, match="'later' is not a valid Moment"):
        spectra_table([("later", 0, measured)], ["a", "b", "c", "d"])


def test_summary_without_counts_is_refused(random_tables, sizes):
    with pytest.raises(ConfigError, match="no frequency-weighted rows"):
        measure_tables(random_tables, sizes, 2, None).summary()
