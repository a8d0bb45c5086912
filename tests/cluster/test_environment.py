"""Ray's environment is decided before Ray is imported, and the user's own settings stay."""

import json
import os
import subprocess
import sys

import pytest

from recscale.cluster.environment import STORE, for_workers

PROBE = """
import json, os, sys
import recscale.cluster
print(json.dumps(["ray" in sys.modules, {k: v for k, v in os.environ.items() if k.startswith("RAY_")}]))
"""


def prepared(**settings: str) -> dict[str, str]:
    """RAY_ variables of a fresh process with these settings, once recscale.cluster is imported."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    output = subprocess.run(
        [sys.executable, "-c", PROBE], env=clean | settings, check=True, capture_output=True, text=True
    )
    ray_came_first, environment = json.loads(output.stdout)
    assert not ray_came_first
    return dict(environment)


def test_an_embedded_cluster_is_private_to_this_process() -> None:
    first, second = prepared(), prepared()
    assert first["RAY_AUTH_MODE"] == "token"
    assert len(first["RAY_AUTH_TOKEN"]) == 64
    assert first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]
    assert first["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"


@pytest.mark.parametrize(
    "settings",
    [
        {"RAY_ADDRESS": "10.0.0.1:6379"},
        {"RAY_ADDRESS": "auto", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "theirs"},
    ],
)
def test_a_named_cluster_keeps_its_own_rules(settings: dict[str, str]) -> None:
    environment = prepared(**settings)
    assert environment.items() >= settings.items()
    access = {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"}
    assert not access & (environment.keys() - settings.keys())
    assert environment["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] == "0.2"


def test_what_the_user_set_stays() -> None:
    settings = {"RAY_AUTH_MODE": "disabled", "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "1"}
    environment = prepared(**settings)
    assert environment.items() >= settings.items()
    assert "RAY_AUTH_TOKEN" not in environment


def test_the_way_to_a_store_goes_with_the_job_where_a_store_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in STORE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ours")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store:9000")
    found = {"AWS_ACCESS_KEY_ID": "ours", "AWS_ENDPOINT_URL": "http://store:9000"}
    assert not found.keys() & for_workers(("/data", "/runs")).keys()
    assert for_workers(("/data", "s3://bucket/runs")).items() >= found.items()
    job = {"runtime_env": {"env_vars": {"AWS_ACCESS_KEY_ID": "the job's"}}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(job))
    assert found.keys() & for_workers(("s3://bucket/data",)).keys() == {"AWS_ENDPOINT_URL"}
