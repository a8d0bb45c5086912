"""The outputs of a study: tables, curves and verdicts from what the store holds."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from dashboards.pages import write_page
from recscale.curves.curve import Curve
from recscale.records import TrialGroup, TrialResult, TrialSpec, canonical_json, from_json
from recscale.study.curves import arms
from recscale.study.results import SPECTRA_TABLE, TRIALS_SCHEMA, further_axes, trials_table, write_results
from recscale.study.store import TrialStore
from recscale.study.study import Study, find_study, read_study, write_study

Finish = Callable[[TrialStore, TrialSpec], TrialResult]


def _finish_all(study: Study, finish: Finish) -> None:
    for spec in study.spec.trials:
        finish(study.store, spec)


def test_one_row_per_trial_whatever_became_of_it(study: Study, finish: Finish) -> None:
    finished, failed, missing = study.spec.trials[:3]
    finish(study.store, finished)
    study.store.write_error(failed.trial_id, "Traceback\nTrialError: boom")
    table, results = trials_table(study)
    rows = {row["trial_id"]: row for row in table.to_pylist()}
    assert table.schema.names == TRIALS_SCHEMA.names
    assert len(rows) == len(study.spec.trials)
    assert list(results) == [finished.trial_id]
    assert rows[finished.trial_id]["status"] == "finished"
    assert rows[finished.trial_id]["test_auc"] == results[finished.trial_id].test.auc
    assert rows[failed.trial_id]["error"].endswith("boom")
    assert rows[missing.trial_id]["status"] == "missing"
    assert rows[missing.trial_id]["dense_params"] > 0


def test_outputs_agree_with_each_other(study: Study, finish: Finish) -> None:
    _finish_all(study, finish)
    write_results(study)
    parquet = pq.read_table(study.folder / "trials.parquet").to_pylist()
    with open(study.folder / "trials.csv", newline="") as file:
        text = list(csv.DictReader(file))
    assert [row["trial_id"] for row in parquet] == [row["trial_id"] for row in text]
    assert [row["test_auc"] for row in parquet] == [float(row["test_auc"]) for row in text]
    curves = json.loads((study.folder / "curves.json").read_text())
    assert len(curves["curves"]) == 2 * 2 * 3
    assert [verdict["family"] for verdict in curves["verdicts"]] == ["dcnv2", "dnn"]
    curve = from_json(Curve, canonical_json(curves["curves"][0]), "curves.json")
    assert [point.scale for point in curve.points] == [1.0, 2.0, 4.0]
    assert all(point.seeds == 2 for point in curve.points)
    spectra = pq.read_table(study.folder / "spectra.parquet")
    assert set(spectra["seed"].to_pylist()) == {0}
    assert set(spectra["moment"].to_pylist()) == {"initial", "best"}


def test_outputs_of_a_study_of_which_nothing_has_finished(study: Study) -> None:
    write_results(study)
    assert json.loads((study.folder / "curves.json").read_text()) == {"curves": [], "verdicts": []}
    assert pq.read_table(study.folder / "trials.parquet").num_rows == len(study.spec.trials)
    assert pq.read_table(study.folder / "spectra.parquet").schema.equals(SPECTRA_TABLE)
    assert "No trial of this study has finished yet" in write_page("scaling", study.folder).read_text()


def test_me_starts_at_the_common_base_only_where_sets_follow_the_scale(study: Study, finish: Finish) -> None:
    trials = [(spec, finish(study.store, spec)) for spec in study.spec.trials if spec.model.family == "dnn"]
    following = arms(trials)
    assert [spec.model.scale for spec, _ in following["ME"]] == [1.0, 1.0, 2.0, 2.0, 4.0, 4.0]
    fixed = [
        (replace(spec, model=replace(spec.model, num_sets=2 if spec.model.num_sets > 1 else 1)), result)
        for spec, result in trials
    ]
    assert [spec.model.scale for spec, _ in arms(fixed)["ME"]] == [2.0, 2.0, 4.0, 4.0]


def test_several_numbers_of_sets_at_one_scale_are_several_curves(study: Study, finish: Finish) -> None:
    trials = [(spec, finish(study.store, spec)) for spec in study.spec.trials if spec.model.family == "dnn"]
    both = trials + [
        (replace(spec, model=replace(spec.model, num_sets=2)), result)
        for spec, result in trials
        if spec.model.num_sets == 4
    ]
    assert sorted(arms(both)) == ["ME-2", "ME-4", "SE"]


def test_a_further_axis_becomes_a_column(study: Study) -> None:
    other = tuple(replace(spec, train=replace(spec.train, learning_rate=0.1)) for spec in study.spec.trials)
    trials = study.spec.trials + other
    wider = replace(study, spec=replace(study.spec, trials=trials), costs=study.costs * 2)
    assert further_axes(trials) == ("learning_rate",)
    table, _ = trials_table(wider)
    assert set(table["learning_rate"].to_pylist()) == {"0.001", "0.1"}
    assert table.schema.names[-1] == "error"


def test_a_study_is_found_by_name_and_by_path_even_after_moving(study: Study) -> None:
    write_study(study)
    assert find_study("quick", study.folder.parent) == study.folder
    assert find_study(str(study.folder), study.folder.parent / "elsewhere") == study.folder
    assert read_study(study.folder) == study
    moved = study.folder.parent / "other" / "quick"
    moved.parent.mkdir()
    study.folder.rename(moved)
    assert read_study(moved).storage == str(moved.parent)


def _in_groups(study: Study, *names: str) -> Study:
    """Every trial in each of the groups, in which learning rates are per cell."""
    ids = tuple(spec.trial_id for spec in study.spec.trials)
    groups = tuple(TrialGroup(name, ids, ("learning_rate",)) for name in names)
    return replace(study, spec=replace(study.spec, groups=groups))


def _per_cell(study: Study) -> Study:
    """Every scale has a learning rate of its own."""
    trials = tuple(
        replace(spec, train=replace(spec.train, learning_rate=1e-3 * spec.model.scale)) for spec in study.spec.trials
    )
    return replace(study, spec=replace(study.spec, trials=trials))


def test_settings_per_cell_tell_no_curves_apart(study: Study, finish: Finish) -> None:
    tuned = _in_groups(_per_cell(study), "tuned")
    _finish_all(tuned, finish)
    write_results(tuned)
    curves = json.loads((tuned.folder / "curves.json").read_text())
    assert {curve["family"] for curve in curves["curves"]} == {"dnn", "dcnv2"}
    assert all(len(curve["points"]) == 3 for curve in curves["curves"])
    rows = pq.read_table(tuned.folder / "trials.parquet").to_pylist()
    assert {row["settings"] for row in rows} == {"tuned"}
    assert {row["learning_rate"] for row in rows} == {"0.001", "0.002", "0.004"}
    write_results(replace(tuned, spec=replace(tuned.spec, groups=())))
    apart = json.loads((tuned.folder / "curves.json").read_text())
    assert {curve["family"] for curve in apart["curves"]} > {"dnn learning_rate=0.001"}


def test_groups_are_curves_and_verdicts_of_their_own_and_may_share_trials(study: Study, finish: Finish) -> None:
    both = _in_groups(study, "untuned", "tuned")
    _finish_all(both, finish)
    write_results(both)
    curves = json.loads((both.folder / "curves.json").read_text())
    assert len(curves["curves"]) == 2 * 2 * 2 * 3
    names = ["dcnv2 tuned", "dcnv2 untuned", "dnn tuned", "dnn untuned"]
    assert [verdict["family"] for verdict in curves["verdicts"]] == names
    rows = pq.read_table(both.folder / "trials.parquet").to_pylist()
    assert len(rows) == len(study.spec.trials)
    assert {row["settings"] for row in rows} == {"untuned+tuned"}
    assert read_study(_written(both)) == both


def _written(study: Study) -> Path:
    write_study(study)
    return study.folder
