import json
from dataclasses import replace

import pytest

from recscale.errors import DataError
from recscale.study.catalog import catalog, write_catalog
from recscale.study.results import write_results
from recscale.study.study import write_study


def _named(study, name, created):
    return replace(study, spec=replace(study.spec, name=name), provenance=(("created", created), ("dataset", "world")))


def test_studies_are_listed_newest_first_with_their_standing(study, finish):
    for name, created in (("old", "2026-01-01 10:00 UTC"), ("new", "2026-01-02 09:00 UTC")):
        write_study(_named(study, name, created))
    for spec in study.spec.trials[:3]:
        finish(study.store, spec)
    study.store.write_error(study.spec.trials[5].trial_id, "broken")
    new, old = catalog(study.folder.parent)
    assert (new.name, old.name, new.dataset, new.recipe) == ("new", "old", "world", "scaling")
    assert (new.finished, new.failed, new.missing) == (3, 1, len(study.spec.trials) - 4)
    assert new.best_test_auc is None


def test_the_best_trial_is_the_valid_splits(study, finish):
    results = {spec.trial_id: finish(study.store, spec) for spec in study.spec.trials}
    write_study(study)
    write_results(study)
    (entry,) = catalog(study.folder.parent)
    best = max(results.values(), key=lambda result: result.valid.auc)
    assert entry.best_test_auc == pytest.approx(best.test.auc)


def test_a_broken_study_is_listed_with_its_problem(study):
    write_study(study)
    broken = study.folder.parent / "broken"
    broken.mkdir()
    (broken / "study.json").write_text("{")
    found = {entry.name: entry for entry in catalog(study.folder.parent)}
    assert "study.json is not a valid Study" in found["broken"].problem
    assert found["quick"].problem == ""


def test_the_table_is_written_into_the_storage(study):
    write_study(study)
    path = write_catalog(study.folder.parent)
    assert [row["name"] for row in json.loads(path.read_text())] == ["quick"]


def test_a_storage_that_is_no_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere is no folder"):
        write_catalog(tmp_path / "nowhere")
