"""A machine of the cluster is lost while trials run on it: they are run elsewhere."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from recscale.data.reader import Dataset
from tests.faults.driving import arguments, command_line, driver, lines, trained, until

pytestmark = pytest.mark.slow
TRIALS = 6
TWO_NODES = """
import sys, threading
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
(raylet,) = second.all_processes["raylet"]
print(cluster.address, raylet.process.pid, flush=True)
threading.Thread(target=raylet.process.wait, daemon=True).start()  # as a zombie it would be alive to its workers
sys.stdin.readline()
cluster.shutdown()
"""


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_trials_of_a_killed_node_are_run_on_the_one_that_is_left(
    small_dataset: Dataset, tmp_path: Path, local: dict[str, str]
) -> None:
    storage, hold = tmp_path / "runs", tmp_path / "hold"
    hold.touch()
    environment = local | {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "HOLD": str(hold)}
    environment.pop("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", None)
    more = ("--scales", "1", "--seeds", str(TRIALS), "--batch-size", "16", "--max-epochs", "4", "--patience", "4")
    command = arguments(small_dataset.path, storage, *more)
    with subprocess.Popen(
        [sys.executable, "-c", TWO_NODES], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as cluster:
        try:
            assert cluster.stdout is not None
            address, raylet = cluster.stdout.readline().split()
            environment |= {"RAY_ADDRESS": address}
            with driver(command, environment, tmp_path / "output") as process:
                until(lambda: len({line.pid for line in lines(storage)}) == 2, process)
                by_node = {_parent(line.pid) == int(raylet): line for line in lines(storage)}
                assert set(by_node) == {True, False}, "a worker on each node"
                os.kill(int(raylet), signal.SIGKILL)
                until(lambda: not command_line(by_node[True].pid), process)
                hold.unlink()
                assert process.wait() == 0, (tmp_path / "output").read_text()
        finally:
            cluster.communicate("\n")
    counts = trained(storage)
    assert len(counts) == TRIALS
    assert len(list(storage.glob("trials/*/result.json"))) == TRIALS
    again = {trial for trial, count in counts.items() if count > 1}
    assert len(again) == 1, "one trial ran on the node that was lost"
    ends = [line for line in lines(storage) if line.kind == "end" and line.trial_id in again]
    assert [line.pid for line in ends] != [by_node[True].pid]
