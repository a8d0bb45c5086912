"""Connecting: our own cluster, one named by RAY_ADDRESS, a job's; recscale is not installed on the latter two."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from recscale.cluster.connect import connect
from recscale.cluster.shares import ClusterInfo
from recscale.errors import ConfigError
from recscale.records import from_json

STUDY = """
import sys
from pathlib import Path

import _boot

from recscale.cluster.connect import connect
from recscale.cluster.executors import run_jobs
from recscale.cluster.jobs import TrialJob
from recscale.cluster.shares import Executor, Share
from recscale.records import ModelSpec, TrainSpec, TrialSpec, canonical_json, to_plain

STORAGE = Path(sys.argv[2])


def stand_in(job, checkpoints):
    import platform
    import recscale
    checkpoints.save({"step": 1})
    found = [recscale.__file__, platform.python_implementation()]
    (Path(job.storage) / job.spec.model.family).write_text(canonical_json(found))
    return {}


if __name__ == "__main__":
    jobs = [
        TrialJob(TrialSpec("data", ModelSpec(family), TrainSpec(), 0), "/data", str(STORAGE), Share())
        for family in sys.argv[3:]
    ]
    with connect() as info:
        (STORAGE / "info.json").write_text(canonical_json(to_plain(info)))
        events = list(run_jobs(jobs, Executor(sys.argv[1]), info, work=stand_in))
    errors = [event.error for event in events if event.error]
    sys.exit(chr(10).join(errors) or None)
"""


@pytest.fixture(scope="module")
def tiny_study(checkout: Path) -> Path:
    """A recipe beside the real ones."""
    (checkout / "studies" / "tiny.py").write_text(STUDY)
    return checkout / "studies" / "tiny.py"


def check_outputs(storage: Path, *families: str) -> ClusterInfo:
    for family in families:
        found, implementation = json.loads((storage / family).read_text())
        assert "py_modules" in found, "the worker had recscale from the driver"
        assert implementation == "CPython"
    info = from_json(ClusterInfo, (storage / "info.json").read_bytes(), "info.json")
    assert (info.cpus, info.gpus, info.nodes, info.started_here) == (2, 0, 1, False)
    return info


def test_the_cluster_cannot_import_recscale_by_itself(ray_head) -> None:
    command = [ray_head.python, "-c", "import ray, importlib.util as u; print(u.find_spec('recscale'))"]
    assert subprocess.run(command, env=ray_head.environment, capture_output=True, text=True).stdout == "None\n"


def test_joining_a_cluster_by_its_address(ray_head, tiny_study: Path, tmp_path: Path) -> None:
    driver = subprocess.run(
        [ray_head.python, tiny_study, "pool", tmp_path, "first", "second"],
        env=ray_head.environment | {"RAY_ADDRESS": ray_head.address},
        capture_output=True,
        text=True,
    )
    assert driver.returncode == 0, driver.stderr
    assert check_outputs(tmp_path, "first", "second").address == ray_head.address


def test_inside_a_submitted_job(ray_head, tiny_study: Path, tmp_path: Path) -> None:
    command = ["python", "studies/tiny.py", "train", str(tmp_path), "alone"]
    job = ray_head.submit(tiny_study.parents[1], *command)
    assert job.returncode == 0, job.stdout + job.stderr
    check_outputs(tmp_path, "alone")


@pytest.mark.slow
def test_a_cluster_that_wants_a_token_says_so(ray_head, tiny_study: Path, tmp_path: Path) -> None:
    strangers = {name: value for name, value in ray_head.environment.items() if not name.startswith("RAY_AUTH")}
    driver = subprocess.run(
        [ray_head.python, tiny_study, "pool", tmp_path],
        env=strangers | {"RAY_ADDRESS": ray_head.address},
        capture_output=True,
        text=True,
    )
    assert "ConfigError" in driver.stderr
    assert "a cluster that wants a token needs RAY_AUTH_MODE=token" in driver.stderr


def test_an_embedded_cluster_listens_on_loopback_only(embedded_cluster: ClusterInfo) -> None:
    assert embedded_cluster.started_here
    assert (embedded_cluster.cpus, embedded_cluster.nodes) == (2, 1)
    assert embedded_cluster.address.startswith("127.0.0.1:")
    assert {node["NodeManagerAddress"] for node in ray.nodes()} == {"127.0.0.1"}


def test_a_connected_process_stays_connected(embedded_cluster: ClusterInfo) -> None:
    with connect() as info:
        assert not info.started_here
        assert info.address == embedded_cluster.address
    assert ray.is_initialized()


@pytest.mark.parametrize(
    ("address", "num_cpus", "message"),
    [
        ("127.0.0.1:1", None, "no cluster can be joined at RAY_ADDRESS=127.0.0.1:1: .*refused"),
        ("http://127.0.0.1:8265", None, "expected host:port of the cluster's head or auto"),
        ("127.0.0.1:1", 2, "num_cpus is 2, but RAY_ADDRESS=127.0.0.1:1 names a cluster that has its own"),
        ("local", 0, "num_cpus is 0, expected at least 1"),
    ],
)
def test_what_cannot_be_joined_or_started_is_refused_at_once(address: str, num_cpus: int | None, message: str) -> None:
    program = f"from recscale.cluster.connect import connect\nwith connect({num_cpus}): pass"
    driver = subprocess.run(
        [sys.executable, "-c", program], env={"RAY_ADDRESS": address}, capture_output=True, text=True
    )
    assert ConfigError.__name__ in driver.stderr
    assert re.search(message, driver.stderr)


def test_the_process_keeps_its_own_handler_of_sigterm(embedded_cluster: ClusterInfo) -> None:
    """Ray's own aborts a driver before its `finally` blocks; `ray job stop` would lose what they save."""
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
