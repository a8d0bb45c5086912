"""GPU machines of ray_cluster.yaml come when trials wait and go when they are done, on Ray's simulated cloud."""

import json
import socket
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.cluster.conftest import ROOT, cluster_environment, free_ports, python_without_recscale, running, wait_for

pytestmark = pytest.mark.slow

GCS_PORT = 6379
"""Where the simulated cloud's machines look for their head, whatever it is told."""
PATIENCE = 300
"""Seconds after which machines that do not come, or do not go, are an error."""
MACHINES = 2

STUDY = """
import json, time, ray
ray.init(log_to_driver=False, logging_level="ERROR")

def machines():
    return [node["Resources"] for node in ray.nodes() if node["Alive"] and "GPU" in node["Resources"]]

@ray.remote(num_gpus=1 / 2)
def trial():
    return ray.get_runtime_context().get_node_id()

before = machines()
places = ray.get([trial.remote() for _ in range(16)])
during = machines()
while machines():
    time.sleep(0.2)
print(json.dumps([len(before), during, sorted(set(places))]))
"""


def test_gpu_machines_come_when_trials_wait_and_go_when_they_are_done(short_folder: Path) -> None:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", GCS_PORT)) == 0:
            pytest.skip(f"port {GCS_PORT}, which Ray's simulated cloud needs, is taken on this machine")
    python = python_without_recscale(short_folder / "cloud-venv")
    dashboard_port, client_port, agent_port = free_ports(3)
    environment = cluster_environment(python, short_folder / "c") | {
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_FAKE_CLUSTER": "1",
    }
    config = short_folder / "cloud.json"
    config.write_text(json.dumps(_simulated()))
    options = {
        "port": GCS_PORT,
        "dashboard-port": dashboard_port,
        "ray-client-server-port": client_port,
        "dashboard-agent-listen-port": agent_port,
        "num-cpus": 0,
        "object-store-memory": 80_000_000,
        "autoscaling-config": config,
    }
    command = [python, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    with running([*command, *(f"--{name}={value}" for name, value in options.items())], environment) as head:
        wait_for(f"http://127.0.0.1:{dashboard_port}/api/version", environment["RAY_AUTH_TOKEN"], head)
        joined = environment | {"RAY_ADDRESS": f"127.0.0.1:{GCS_PORT}"}
        study = subprocess.run(
            [python, "-c", STUDY], env=joined, capture_output=True, text=True, check=True, timeout=PATIENCE
        )
    before, during, places = json.loads(study.stdout.splitlines()[-1])
    assert before == 0
    assert 1 <= len(places) <= len(during) <= MACHINES
    assert all((machine["GPU"], machine["CPU"]) == (1, 8) for machine in during)
    assert all("accelerator_type:A10G" in machine for machine in during)


def _simulated() -> dict[str, object]:
    """The file's GPU machines in the place of the cloud's; fewer of them, and gone within seconds."""
    real = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
    gpu = {**real["available_node_types"]["gpu"], "node_config": {}, "max_workers": MACHINES}
    head = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    return {
        "cluster_name": real["cluster_name"],
        "max_workers": MACHINES,
        "idle_timeout_minutes": 0.05,
        "upscaling_speed": 1.0,
        "provider": {
            "type": "fake_multinode",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "head_node_type": "ray.head.default",
        "available_node_types": {"gpu": gpu, "ray.head.default": head},
        **{name: {} for name in ("auth", "docker", "file_mounts")},
        **{name: [] for name in ("cluster_synced_files", "initialization_commands", "setup_commands")},
        **{f"{node}_{what}_commands": [] for node in ("head", "worker") for what in ("setup", "start_ray")},
    }
