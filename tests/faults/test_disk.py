"""The disk is full: a worker that cannot write says so, nothing half is read as finished, and space is all it takes."""

import resource
import shutil
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from recscale.data.reader import Dataset
from recscale.errors import DataError
from recscale.training.checkpoints import FolderCheckpoints
from tests.faults.driving import ROOT, arguments

SMALL_DISK = """
set -e
mount -t tmpfs -o size=$1 tmpfs "$2"
shift
storage=$1; kept=$2; shift 2
"$@" && status=0 || status=$?
echo "first: $status"
ls -R "$storage/trials" > "$kept/listed"
mount -o remount,size=500m "$storage"
"$@" && status=0 || status=$?
echo "second: $status"
cp -r "$storage/." "$kept"
"""


def test_a_checkpoint_that_does_not_fit_is_one_clear_error_and_leaves_the_one_before(tmp_path: Path) -> None:
    checkpoints = FolderCheckpoints(tmp_path / "state")
    checkpoints.save({"step": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(DataError, match=r"cannot write .*state\.pt: .*free space"):
            checkpoints.save({"step": 2, "table": torch.zeros(1_000_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert checkpoints.load() == {"step": 1}
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["state.pt"]


def _may_mount() -> bool:
    tried = ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return shutil.which("unshare") is not None and not subprocess.run(tried, capture_output=True).returncode


@pytest.mark.slow
@pytest.mark.skipif(not _may_mount(), reason="this user may not mount a small disk in a namespace of its own")
def test_on_a_full_disk_trials_fail_with_a_clear_error_and_run_when_there_is_space(
    small_dataset: Dataset, tmp_path: Path, local: dict[str, str]
) -> None:
    """Big trials do not fit on the disk and small ones do; MLflow's database is elsewhere."""
    storage, kept = tmp_path / "runs", tmp_path / "kept"
    storage.mkdir()
    kept.mkdir()
    command = arguments(small_dataset.path, storage, "--scales", "1", "20", "--seeds", "2")
    environment = local | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    shell = ["unshare", "-Urm", "bash", "-c", SMALL_DISK, "small", "16m", str(storage), str(kept), *command]
    study = subprocess.run(shell, env=environment, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert "first: 1" in study.stdout, study.stdout + study.stderr
    assert "second: 0" in study.stdout, study.stdout + study.stderr
    assert "cannot write" in study.stderr
    assert "free space" in study.stderr
    assert 0 < (kept / "listed").read_text().count("result.json") < 4
    assert {row["status"] for row in pq.read_table(kept / "tiny" / "trials.parquet").to_pylist()} == {"finished"}
