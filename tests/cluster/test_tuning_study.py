"""The tuning study as a user runs it: killed in its search, resumed, and its winners used by another study."""

import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recscale.data.reader import Dataset
from recscale.data.synthetic import write_synthetic

ROOT = Path(__file__).resolve().parents[2]
TINY = ("--hidden-sizes", "8", "--batch-size", "256", "--max-epochs", "2", "--families", "dnn", "--scales", "1", "2")


def _arguments(recipe: str, dataset: Path, storage: Path, *more: str) -> list[str]:
    place = ("--data", str(dataset), "--storage", str(storage))
    return [sys.executable, f"studies/{recipe}.py", *place, *TINY, "--sets", "1", "--seeds", "2", *more]


@pytest.fixture
def local(short_folder: Path) -> dict[str, str]:
    """Environment of a user with no cluster and no MLflow server."""
    ours = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI")}
    return ours | {"RAY_TMPDIR": str(short_folder)}


def _run(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, cwd=ROOT, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def _planned(arguments: list[str]) -> int:
    """Exit status of a recipe's plan, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "studies"))
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setattr(sys, "argv", [*arguments[1:], "--plan"])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / arguments[1]), run_name="__main__")
    return int(ended.value.code or 0)


def _outcomes(storage: Path) -> dict[Path, int]:
    """When each finished, stopped or diverged sample was written."""
    paths = storage.glob("tune/search/*/*.json")
    return {path: path.stat().st_mtime_ns for path in paths if json.loads(path.read_text())["ending"] != "running"}


def test_a_killed_search_runs_nothing_again_and_its_winners_serve_other_studies(
    small_dataset: Dataset, tmp_path: Path, local: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = _arguments("tuning", small_dataset.path, tmp_path, "--name", "tune", "--samples", "4")
    driver = subprocess.Popen(arguments, cwd=ROOT, env=local, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert driver.stderr is not None
    seen = b""
    while b"samples 2/8" not in seen:
        piece = driver.stderr.read1()
        assert piece, seen.decode()
        seen += piece
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    driver.stderr.close()
    before = _outcomes(tmp_path)
    assert 2 <= len(before) < 8

    again = _run(arguments, local)
    assert again.returncode == 0, again.stderr
    after = _outcomes(tmp_path)
    assert len(after) == 8
    assert before.items() <= after.items()
    assert not list(tmp_path.glob("tune/search/*/tune")), "nothing of Tune's own stays"

    rows = pq.read_table(tmp_path / "tune" / "trials.parquet").to_pylist()
    assert {row["status"] for row in rows} == {"finished"}
    tuned = json.loads((tmp_path / "tune" / "tuned.json").read_text())
    assert [cell["model"]["scale"] for cell in tuned["cells"]] == [1.0, 2.0]
    for cell in tuned["cells"]:
        mine = [row for row in rows if row["scale"] == cell["model"]["scale"] and "tuned" in row["settings"].split("+")]
        assert {row["seed"] for row in mine} == {0, 1}
        assert {float(row.get("learning_rate", "0.001")) for row in mine} == {cell["point"]["learning_rate"]}
    curves = json.loads((tmp_path / "tune" / "curves.json").read_text())
    families = {curve["family"] for curve in curves["curves"]}
    assert families == {"dnn tuned", "dnn untuned"}
    assert "tuning report" in (tmp_path / "tune" / "report.html").read_text()

    path = str(tmp_path / "tune" / "tuned.json")
    assert _planned(_arguments("scaling", small_dataset.path, tmp_path, "--tuned", path)) == 0
    shown = capsys.readouterr().out
    assert "4 trials, 4 finished, 0 points refused" in shown, "they are the tuning study's own trials"
    other = write_synthetic(tmp_path / "other", rows=2_000, seed=2)
    assert _planned(_arguments("scaling", tmp_path / "other", tmp_path, "--tuned", path)) == 1
    refused = capsys.readouterr().err
    assert refused.startswith(f"error: {path} was tuned on dataset {small_dataset.manifest.fingerprint[:12]}, but this")
    assert other.fingerprint[:12] in refused
    assert refused.count("\n") == 1


@pytest.mark.slow
def test_a_search_on_a_cluster_whose_nodes_lack_the_package(
    ray_head, checkout: Path, small_dataset: Dataset, tmp_path: Path
) -> None:
    arguments = _arguments("tuning", small_dataset.path, tmp_path, "--name", "tune", "--samples", "2")
    study = subprocess.run(
        [ray_head.python, *arguments[1:]],
        cwd=checkout,
        env=ray_head.environment | {"RAY_ADDRESS": ray_head.address},
        capture_output=True,
        text=True,
    )
    assert study.returncode == 0, study.stderr
    assert len(_outcomes(tmp_path)) == 4
    assert len(json.loads((tmp_path / "tune" / "tuned.json").read_text())["cells"]) == 2
