"""The privacy section: the attack's numbers over seeds, what chance would do, and what is missing."""

import shutil
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dashboards.axis import DATA_AMOUNT
from dashboards.page import page_html
from dashboards.privacy import section
from dashboards.privacy_tables import Leak, configurations, detection_lines, leak_lines, shade, strongest
from dashboards.results import load_results
from dashboards.scaling import report_page
from dashboards.tables import Model

DCNV2 = Model("dcnv2", "fair")
AXIS = DATA_AMOUNT.axis


def test_privacy_is_read_where_the_study_has_it(axis_results, study_folder, tmp_path):
    assert load_results(study_folder).privacy is None
    copied = shutil.copytree(study_folder, tmp_path / "copy")
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in axis_results.privacy]), copied / "privacy.parquet")
    assert load_results(copied).privacy == axis_results.privacy


@pytest.mark.parametrize("leak", list(Leak))
def test_a_leak_is_the_mean_over_seeds(axis_results, leak):
    rows = {row.trial_id: row for row in axis_results.privacy}
    line = leak_lines(axis_results, DCNV2, AXIS, leak)[0]
    for point in line.points:
        values = [getattr(rows[trial.trial_id], leak.value) for trial in point.trials]
        assert len(values) == 3
        assert point.mean == pytest.approx(np.mean(values))


def test_the_shade_is_two_standard_deviations_of_the_mann_whitney_statistic(axis_results):
    rows = axis_results.privacy[0].rows
    assert shade(axis_results, Leak.ALL_ROWS) == pytest.approx(2 * np.sqrt((2 * rows + 1) / (12 * rows**2)))
    assert shade(axis_results, Leak.LOSS_GAP) is None


def test_detection_is_drawn_per_configuration_and_place(axis_results):
    table = detection_lines(axis_results, DCNV2, AXIS)
    assert len(table) == 3 * 3
    assert {line.configuration for line in table} == set(configurations(axis_results, AXIS))
    assert [line.place for line in table[:3]] == ["0.1", "0.25", "1"]
    assert table[0].rows == (16, 64, 256)
    assert table[0].mean == pytest.approx((0.1, 0.3, 0.85))
    assert table[0].std == pytest.approx((0, 0, 0.05))


def test_the_strongest_attack_is_named_beside_what_chance_does(axis_results):
    found = strongest(axis_results, AXIS)
    assert found.configuration.endswith("at train fraction 0.1")
    assert found.attack_auc == pytest.approx(0.593)
    html, panels = section(axis_results, AXIS)
    assert (
        "AUC 0.593, within one label 0.590; a model that gives nothing away would lie between 0.488 and 0.512" in html
    )
    assert "85% of collections of 256 rows are detected." in html
    assert "Train and test were split by the column" in html
    assert "<script" not in html
    assert [panel.name for panel in panels] == [f"{kind}-{i}" for kind in ("privacy", "detected") for i in range(3)]


def test_trials_that_were_not_attacked_are_counted(axis_results):
    fewer = replace(axis_results, privacy=axis_results.privacy[:-4])
    assert "4 of 81 finished trials are not part of this" in section(fewer, AXIS)[0]
    none, panels = section(replace(axis_results, privacy=()), AXIS)
    assert "81 of 81 finished trials are not part of this" in none
    assert panels == []


def test_a_sample_too_small_for_collections_is_said(axis_results):
    rows = tuple(replace(row, collection_rows=(), detected=(), median_p=()) for row in axis_results.privacy)
    html, panels = section(replace(axis_results, privacy=rows), AXIS)
    assert "too few rows to draw collections from" in html
    assert not panels[-1].figures[0].data


def test_the_scaling_page_has_the_section_only_where_it_was_asked_for(results, axis_results):
    short = replace(results, trials=results.trials[:9], curves=None, spectra=None)
    assert "<h2>Privacy</h2>" not in page_html(report_page(short))
    rows = tuple(replace(axis_results.privacy[0], trial_id=trial.trial_id) for trial in short.trials)
    page = page_html(report_page(replace(short, privacy=rows)))
    assert "<h2>Privacy</h2>" in page
    assert "The attack does best on dcnv2 SE at scale 1×" in page
