"""training.parquet and sub_embeddings.parquet: what the trials' own files say, with their axes."""

from collections.abc import Callable

import pyarrow.parquet as pq

from recscale.records import TrialResult, TrialSpec
from recscale.study.history import LOOK_SCHEMA
from recscale.study.results import write_results
from recscale.study.store import TrialStore
from recscale.study.study import Study

Finish = Callable[[TrialStore, TrialSpec], TrialResult]
AXES = ["trial_id", "family", "variant", "arm", "scale", "num_sets", "seed"]


def test_one_row_per_evaluation_of_every_finished_trial(study: Study, finish: Finish) -> None:
    results = {spec.trial_id: finish(study.store, spec) for spec in study.spec.trials[:3]}
    paths = {path.name: path for path in write_results(study)}
    table = pq.read_table(paths["training.parquet"])
    assert table.schema.names == [*AXES, *LOOK_SCHEMA.names]
    rows = table.to_pylist()
    assert len(rows) == sum(len(result.history) for result in results.values())
    assert [row["moment"] for row in rows] == ["initial", "best"] * 3
    for row in rows:
        look = next(look for look in results[row["trial_id"]].history if look.step == row["step"])
        assert row["train_loss"] == look.train_loss
        assert row["valid_auc"] == look.valid.auc
        assert row["weighted_ia_ratio_mean"] == look.collapse.weighted_ia_ratio_mean


def test_sub_embeddings_are_those_of_the_first_seed_of_families_that_have_them(study: Study, finish: Finish) -> None:
    for spec in study.spec.trials:
        finish(study.store, spec)
    write_results(study)
    rows = pq.read_table(study.folder / "sub_embeddings.parquet").to_pylist()
    expected = [spec for spec in study.spec.trials if spec.model.family == "dcnv2" and spec.seed == 0]
    assert {row["trial_id"] for row in rows} == {spec.trial_id for spec in expected}
    assert {row["family"] for row in rows} == {"dcnv2"}
    for spec in expected:
        mine = [row for row in rows if row["trial_id"] == spec.trial_id]
        assert len(mine) == spec.model.num_sets * 12 * 12
        stored = study.store.read_sub_embeddings(spec.trial_id)
        assert stored is not None
        assert [{name: row[name] for name in stored.column_names} for row in mine] == stored.to_pylist()


def test_a_study_of_which_nothing_has_finished_has_empty_tables(study: Study) -> None:
    write_results(study)
    for name in ("training.parquet", "sub_embeddings.parquet"):
        table = pq.read_table(study.folder / name)
        assert table.num_rows == 0
        assert table.schema.names[: len(AXES)] == AXES
