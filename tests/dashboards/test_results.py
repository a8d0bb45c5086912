"""A study folder is read whole, with its optional files absent, and refused by name where it is broken."""

import shutil
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dashboards.results import Trial, load_results
from recscale.errors import DataError
from recscale.study.results import TRIALS_SCHEMA


@pytest.fixture
def copied(study_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(study_folder, tmp_path / "copy"))


def test_every_trial_is_read_with_its_further_columns(results, trial_rows):
    assert [trial.trial_id for trial in results.trials] == [row["trial_id"] for row in trial_rows]
    assert len(results.finished) == len(trial_rows) - 2
    assert results.trials[0].further == (("learning_rate", "0.001"),)
    assert results.trials[-1].test_auc is None


def test_only_settings_are_further_columns():
    """Else a page would take every trial for a configuration of its own."""
    assert {*TRIALS_SCHEMA.names} <= {field.name for field in fields(Trial)}


def test_spectra_keep_only_the_moments_that_are_shown(results):
    assert {row.moment for row in results.spectra} == {"initial", "best"}
    assert {row.set_index for row in results.spectra if row.arm == "SE"} == {None}


def test_absent_optional_files_are_none(copied):
    for name in ("curves.json", "spectra.parquet", "provenance.json"):
        (copied / name).unlink()
    read = load_results(copied)
    assert (read.curves, read.spectra, read.provenance) == (None, None, ())
    assert read.name == "copy"


def test_nan_is_a_missing_number(copied, trial_rows):
    rows = [{**trial_rows[0], "test_auc": float("nan")}]
    pq.write_table(pa.Table.from_pylist(rows), copied / "trials.parquet")
    assert load_results(copied).trials[0].test_auc is None


def test_trials_must_be_there(copied):
    (copied / "trials.parquet").unlink()
    with pytest.raises(DataError, match=r"trials\.parquet cannot be read"):
        load_results(copied)


def test_broken_spectra_are_refused(copied):
    (copied / "spectra.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match=r"spectra\.parquet cannot be read"):
        load_results(copied)


def test_an_absent_column_is_named(copied, trial_rows):
    table = pa.Table.from_pylist(trial_rows).drop_columns(["scale"])
    pq.write_table(table, copied / "trials.parquet")
    with pytest.raises(DataError, match=r"at row 0, scale: Field required"):
        load_results(copied)


def test_broken_curves_are_refused(copied):
    (copied / "curves.json").write_text('{"curves": 3}')
    with pytest.raises(DataError, match=r"curves\.json is not a valid StudyCurves"):
        load_results(copied)


def test_a_ceiling_must_be_a_number(copied):
    (copied / "provenance.json").write_text('{"bayes_auc": "high"}')
    read = load_results(copied)
    assert read.provenance_number("bayes_log_loss") is None
    with pytest.raises(DataError, match="bayes_auc = 'high', expected a number"):
        read.provenance_number("bayes_auc")
