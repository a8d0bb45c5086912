"""Ray's environment, decided in one place; this module runs before Ray is imported and imports nothing of it."""

import json
import os
import secrets
import sys
from collections.abc import Sequence

from recscale.storage.filesystems import is_uri

EVERY_CLUSTER = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}
"""Ray Train polls its workers this often (2 s by default, paid at every checkpoint); no telemetry; no result boxes.

Ray Tune writes no logs of its own, for the search's ledger is what counts, and leaves Ctrl-C to us.
"""
EMBEDDED_CLUSTER = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}
"""Every socket on 127.0.0.1 (what Ray does on Windows and macOS); one machine is neither preempted nor scraped."""

WORKERS = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"
    ":glibc.malloc.mmap_threshold=134217728"
    ":glibc.malloc.trim_threshold=268435456",
    "GOMP_SPINCOUNT": "10000",
}
"""Tables on huge pages, and the memory of a training step kept for the next one (glibc only). torch's threads wait
awake for a fraction of a millisecond, not for several: where a busy machine takes the core of one, those that wait
would hold on to theirs, and steps beside other work take much longer. Read when a process starts.
"""

STORE = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_MAX_ATTEMPTS",
    "RECSCALE_CACHE",
)
"""Variables that say how an object store is reached, and where datasets from one are kept."""


def prepare_environment() -> None:
    """Sets what recscale needs of Ray; whatever the user has set stays.

    Where RAY_ADDRESS names a cluster (a job's driver has it too), access is that cluster's business and nothing about
    it is set. Otherwise the embedded cluster gets a token of its own that no file keeps: nobody else on the machine can
    use it, and `ray start` or `ray job submit` behave afterwards as if it had never run. RAY_AUTH_MODE=disabled opens
    its dashboard to a browser.
    """
    _set_defaults(EVERY_CLUSTER)
    if named_cluster() or "ray" in sys.modules:
        return
    _set_defaults({**EMBEDDED_CLUSTER, **WORKERS})
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        if "RAY_AUTH_TOKEN_PATH" not in os.environ:
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def for_workers(places: Sequence[str] = ()) -> dict[str, str]:
    """What a joined cluster's workers are given, but for what a job has set already, which Ray refuses to hear twice.

    Where they read or write at a URI, this process's way to the store goes with the job: visible to whoever may look at
    the cluster's jobs, so that a cluster whose machines have access of their own is better off without these variables.
    """
    given = {name: value for name, value in WORKERS.items() if name not in os.environ}
    if any(is_uri(place) for place in places):
        given |= {name: os.environ[name] for name in STORE if name in os.environ}
    return {name: value for name, value in given.items() if name not in _job_variables()}


def _job_variables() -> set[str]:
    """Variables that the job of this process, where it is one, gives to all its processes."""
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
    return {*((job.get("runtime_env") or {}).get("env_vars") or {})}


def named_cluster() -> str | None:
    """The address of the cluster to join, None where this process is to start its own (RAY_ADDRESS unset or local)."""
    address = os.environ.get("RAY_ADDRESS", "local")
    return None if address in ("", "local") else address


def _set_defaults(values: dict[str, str]) -> None:
    for name, value in values.items():
        os.environ.setdefault(name, value)
