"""MLflow on PostgreSQL: what many trials log is there to the last number, once, whatever became of the server."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from recscale.records import to_plain
from recscale.study.mirror import Mirror, sync_study
from recscale.study.results import write_results
from recscale.study.study import Study, read_study, write_study
from recscale.study.tracking import PARENT_TAG, STUDY_TAG, TRIAL_TAG
from tests.tracking.servers import MlflowServer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
TRIALS, LOOKS = 1_000, 4


@contextmanager
def _cursor(database: str) -> Iterator[Any]:
    connection = psycopg2.connect(database.replace("+psycopg2", ""))
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def _logged(database: str, study: str) -> dict[str, tuple[int, float, str]]:
    """By trial: number and sum of its scalars, and its run's standing, read from PostgreSQL itself."""
    query = """
        select trial.value, count(m.key), coalesce(sum(m.value), 0), max(r.status), count(distinct r.run_uuid)
        from tags parent
        join tags named on named.run_uuid = parent.value and named.key = %s and named.value like %s
        join tags trial on trial.run_uuid = parent.run_uuid and trial.key = %s
        join runs r on r.run_uuid = parent.run_uuid
        left join metrics m on m.run_uuid = parent.run_uuid
        where parent.key = %s group by trial.value
    """
    with _cursor(database) as cursor:
        cursor.execute(query, (STUDY_TAG, f"%/{study}", TRIAL_TAG, PARENT_TAG))
        rows = cursor.fetchall()
    assert all(runs == 1 for *_, runs in rows), "a trial has more than one run"
    return {trial: (count, float(total), status) for trial, count, total, status, _ in rows}


def _stored(study: Study) -> dict[str, tuple[int, float]]:
    """By trial: number and sum of the scalars that its result.json says are to be logged."""
    expected = {}
    for spec in study.spec.trials:
        result = json.loads((study.store.folder(spec.trial_id) / "result.json").read_text())
        numbers = [look["train_loss"] for look in result["history"]]
        for part in (*(look[name] for look in result["history"] for name in ("valid", "collapse")), result["test"]):
            numbers += part.values()
        sizes = ("embed_dim", "table_params", "dense_params", "flops_per_sample")
        numbers += [result[name] for name in (*sizes, "samples_per_second", "seconds", "peak_memory_bytes")]
        known = [number for number in numbers if number is not None]
        expected[spec.trial_id] = (len(known), float(sum(known)))
    return expected


def _assert_all_there(database: str, study: Study) -> None:
    logged, stored = _logged(database, study.spec.name), _stored(study)
    assert {trial: count for trial, (count, _, _) in logged.items()} == {t: count for t, (count, _) in stored.items()}
    for trial, (_, total, status) in logged.items():
        assert status == "FINISHED"
        assert total == pytest.approx(stored[trial][1], rel=1e-12)


def test_trials_that_run_eight_at_once_are_logged_whole(server: MlflowServer, database: str, tmp_path: Path) -> None:
    command = [sys.executable, "studies/scaling.py", "--storage", str(tmp_path), "--name", "eight", "--rows", "3000"]
    grid = ["--families", "dnn", "--scales", "1", "2", "--sets", "1", "scale", "--seeds", "3", "--base-dim", "4"]
    small = ["--hidden-sizes", "8", "8", "--max-epochs", "2", "--cpus-per-trial", "0.25"]  # 8 at once on 2 cores
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        [*command, *grid, *small],
        cwd=ROOT,
        env=environment | {"MLFLOW_TRACKING_URI": server.address},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"{4 * (os.cpu_count() or 1)} at a time" in done.stdout
    study = read_study(tmp_path / "eight")
    assert len(study.spec.trials) == 9
    _assert_all_there(database, study)


@pytest.fixture
def thousand(study: Study, finish: Callable[..., Any]) -> Study:
    """A study of 1,000 finished trials with more than 60 scalars each."""
    base = study.spec.trials[0]
    specs = tuple(replace(base, seed=seed) for seed in range(TRIALS))
    first = finish(study.store, base)
    steps = range(first.best_step - LOOKS + 2, first.best_step + 1)
    looks = [replace(first.history[-1], step=step, train_loss=0.1 * step) for step in steps]
    content = {path.name: path.read_bytes() for path in study.store.folder(base.trial_id).iterdir()}
    for spec in specs:
        folder = study.store.folder(spec.trial_id)
        folder.mkdir(exist_ok=True)
        study.store.write_spec(spec)
        for name in ("predictions.arrow", "spectra.arrow"):
            (folder / name).write_bytes(content[name])
        test = replace(first.test, auc=0.7 + 1e-5 * spec.seed)
        result = replace(first, trial_id=spec.trial_id, test=test, history=(first.history[0], *looks))
        (folder / "result.json").write_text(json.dumps(to_plain(result)))
    whole = Study(replace(study.spec, name="thousand", trials=specs), study.costs[:1] * TRIALS, (), (), study.storage)
    write_study(whole)
    return whole


@pytest.mark.long
def test_a_thousand_trials_survive_the_servers_death(
    server: MlflowServer, database: str, thousand: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    mirror = Mirror(Path(thousand.storage), thousand.spec)
    for number, spec in enumerate(thousand.spec.trials):
        if number == TRIALS // 4:
            server.kill()
        mirror.log_trial(spec)
    mirror.end_study([], failed=0)
    assert mirror.problem is not None
    assert len(_logged(database, "thousand")) < TRIALS

    def no_queries(*_: object, **__: object) -> None:
        raise AssertionError("the report asked MLflow")

    with monkeypatch.context() as without:
        without.setattr("mlflow.tracking.MlflowClient.search_runs", no_queries)
        write_results(thousand)

    server.start()
    assert sync_study(thousand) is None
    _assert_all_there(database, thousand)
    assert all(count >= 60 for count, _ in _stored(thousand).values())
    before = _logged(database, "thousand")
    with _cursor(database) as cursor:
        cursor.execute("delete from tags where key = 'recscale.mirrored'")
    assert sync_study(thousand) is None
    assert _logged(database, "thousand") == before
