"""Two drivers on the same study at once: in peace, with clocks a day apart, and one of them killed."""

import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient

from recscale.data.reader import Dataset
from recscale.study.tracking import EXPERIMENT, TRIAL_TAG
from recscale.study.tracking_place import tracking_uri
from tests.faults.driving import arguments, driver, lines, trained, until

pytestmark = pytest.mark.slow
TRIALS = 12
GRID = ("--scales", "1", "2", "--seeds", str(TRIALS // 2), "--batch-size", "64")


def _check(storage: Path) -> None:
    """The study is whole, and nothing of the drivers is left in it; MLflow has one run per trial."""
    rows = pq.read_table(storage / "tiny" / "trials.parquet").to_pylist()
    assert [row["status"] for row in rows] == ["finished"] * TRIALS
    assert not list((storage / "claims").iterdir())
    client = MlflowClient(tracking_uri(storage))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    children = [run for run in runs if TRIAL_TAG in run.data.tags]
    assert len({run.data.tags[TRIAL_TAG] for run in children}) == len(children) == TRIALS
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(runs) == TRIALS + 1


def test_each_trial_runs_once_even_where_their_clocks_are_a_day_apart(
    small_dataset: Dataset, tmp_path: Path, local: dict[str, str], other: dict[str, str]
) -> None:
    storage = tmp_path / "runs"
    command = arguments(small_dataset.path, storage, *GRID)
    outputs = tmp_path / "first", tmp_path / "second"
    with (
        driver(command, local | {"SKEW": "86400"}, outputs[0]) as first,
        driver(command, other, outputs[1]) as second,
    ):
        statuses = first.wait(), second.wait()
    texts = [output.read_text() for output in outputs]
    assert statuses == (0, 0), texts
    assert all(f"{TRIALS} of {TRIALS} trials finished" in text for text in texts)
    assert sorted(trained(storage).values()) == [1] * TRIALS
    _check(storage)


def test_what_a_killed_driver_held_is_taken_over_by_the_one_that_lives(
    small_dataset: Dataset, tmp_path: Path, local: dict[str, str], other: dict[str, str]
) -> None:
    storage = tmp_path / "runs"
    command = arguments(small_dataset.path, storage, *GRID)
    with (
        driver(command, local, tmp_path / "first") as first,
        driver(command, other, tmp_path / "second") as second,
    ):
        until(lambda: {line.pid for line in lines(storage) if _belongs(line.pid, local)}, first)
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert second.wait() == 0, (tmp_path / "second").read_text()
    counts = trained(storage)
    assert len(counts) == TRIALS
    assert set(counts.values()) <= {1, 2}, "twice only what the killed one had begun"
    assert sum(count == 2 for count in counts.values()) <= 2
    _check(storage)


def _belongs(pid: int, environment: dict[str, str]) -> bool:
    """Whether a worker is of the driver in that environment."""
    try:
        return f"RAY_TMPDIR={environment['RAY_TMPDIR']}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except FileNotFoundError:
        return False
