"""ray_cluster.yaml is what Ray accepts, keeps its ports private, and fits the pinned environment."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from recscale.cluster import connect
from recscale.cluster.gpus import KINDS, gpu_of
from recscale.cluster.shares import ClusterInfo, Share, default_share, slots

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "ray_cluster.yaml").read_text()


def on_aws() -> dict[str, Any]:
    return dict(yaml.safe_load(TEXT))


def on_premises() -> dict[str, Any]:
    """The commented variant in the place of what it replaces."""
    comment = TEXT.split("# --- machines of your own")[1].splitlines()[2:]
    variant = yaml.safe_load("\n".join(line.removeprefix("# ") for line in comment))
    rest = {name: value for name, value in on_aws().items() if name not in ("head_node_type", "available_node_types")}
    return rest | variant | {"max_workers": 2}


@pytest.mark.parametrize("variant", [on_aws, on_premises])
def test_ray_accepts_it(variant) -> None:
    validate_config(prepare_config(variant()))


def test_ports_are_private_and_guarded() -> None:
    config = on_aws()
    assert config["provider"]["use_internal_ips"] is True
    starts = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    starts = [command for command in starts if "ray start" in command]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token ray start" in command for command in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]
    assert "0.0.0.0" not in TEXT
    servers = [command for command in config["head_start_ray_commands"] if "mlflow server" in command]
    assert len(servers) == 1
    assert "mlflow server --host 127.0.0.1 " in servers[0]
    assert "MLFLOW_TRACKING_URI=http://127.0.0.1:5000 " in f"{starts[0]} "


def test_machines_have_roles_and_no_keys() -> None:
    types = on_aws()["available_node_types"]
    profiles = {name: node["node_config"]["IamInstanceProfile"]["Name"] for name, node in types.items()}
    assert profiles == {"head": "recscale-head", "gpu": "recscale-node"}
    assert all(TEXT.count(name) > 1 for name in profiles.values()), "the notes say what each is allowed"
    assert not re.search(r"AKIA|aws_secret|AWS_SECRET", TEXT)


def test_gpu_machines_come_and_go_and_may_be_spot() -> None:
    config = on_aws()
    head, gpu = config["available_node_types"]["head"], config["available_node_types"]["gpu"]
    assert "GPU" not in head["resources"]
    assert (gpu["min_workers"], gpu["max_workers"]) == (0, config["max_workers"])
    assert gpu["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in head["node_config"], "a head that is taken away takes the study along"


def test_images_carry_the_pinned_ray() -> None:
    pinned = re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned
    docker = on_aws()["docker"]
    for image in (docker["head_image"], docker["worker_image"]):
        assert image.startswith(f"rayproject/ray:{pinned.group(1)}-py311-")


def test_mounted_files_exist() -> None:
    sources = [source for source in on_aws()["file_mounts"].values() if not source.startswith("~")]
    assert sources
    assert all((ROOT / source).is_file() for source in sources)


def test_a_study_on_the_head_counts_the_machines_still_to_come(
    embedded_cluster: ClusterInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap = tmp_path / "ray_bootstrap_config.yaml"
    bootstrap.write_text(json.dumps(prepare_config(on_aws())))
    monkeypatch.setattr(connect, "AUTOSCALING_FILE", bootstrap)
    with connect.connect() as info:
        assert (info.cpus, info.gpus, info.nodes) == (64, 8, 1)
        assert default_share(info) == Share(cpus=1, gpus=1)
        assert slots(Share(cpus=1, gpus=1 / 8), info) == 64
        assert gpu_of(info, None) == KINDS["A10G"]
