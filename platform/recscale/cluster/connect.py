"""Connecting to Ray: a cluster of our own on this machine, the one RAY_ADDRESS names, or the one a job runs on."""

import json
import os
import signal
import site
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import AuthenticationError

import recscale
from recscale.cluster.environment import for_workers, named_cluster
from recscale.cluster.shares import ClusterInfo, NodeShape
from recscale.errors import ConfigError

OBJECT_STORE_BYTES = 128 << 20
"""Object store of the embedded cluster: trials read memory-mapped shards, so that only specs and outcomes pass here."""
AUTOSCALING_FILE = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves the cluster file on the head; the only place that tells what the autoscaler may still start."""
WATCH_SECONDS = 5.0
"""How often the driver looks whether its machine is still part of the cluster."""
REACH_SECONDS = 10.0
"""A head that does not take a connection in this time is not there."""
ACCELERATOR = "accelerator_type:"
"""What Ray's resource that names a machine's kind of GPU begins with."""
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}


@contextmanager
def connect(num_cpus: int | None = None, places: Sequence[str] = ()) -> Iterator[ClusterInfo]:
    """The cluster for the time of the block; what this call started or joined is left at its end, nothing else.

    A process that is connected already stays so. `num_cpus` limits a cluster of our own; `places` are the
    paths and URIs that its workers use. ConfigError where there is another to join, or none to be reached.
    """
    if ray.is_initialized():
        yield _describe(started_here=False, dashboard="")
        return
    address = named_cluster()
    with _own_sigterm():
        dashboard = _join(address, num_cpus, places) if address else _start(num_cpus)
    left = threading.Event()
    watch = threading.Thread(target=_watch, args=(left, ray.get_runtime_context().get_node_id()), daemon=True)
    try:
        watch.start()
        yield _describe(started_here=address is None, dashboard=dashboard)
    finally:
        left.set()
        watch.join()
        ray.shutdown()


def _watch(left: threading.Event, node: str) -> None:
    """Ends this process where its own machine is no part of the cluster any more.

    Ray would wait for it without end, in a call as in its own shutdown, so that nothing else can be done.
    """
    while not left.wait(WATCH_SECONDS):
        if not any(each["NodeID"] == node and each["Alive"] for each in _nodes()):
            print("\nerror: Ray's node on this machine is gone; the same command goes on from here", file=sys.stderr)
            sys.stderr.flush()
            os._exit(1)


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Puts the process's own handler of SIGTERM back: Ray's would abort the driver before its `finally` blocks."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def _start(num_cpus: int | None) -> str:
    """A cluster on this machine's own; the dashboard is what removes the reservations of a killed Ray Train run."""
    if num_cpus is not None and num_cpus < 1:
        raise ConfigError(f"num_cpus is {num_cpus}, expected at least 1")
    with _package_on_path():
        return _dashboard_of(
            ray.init(
                "local", num_cpus=num_cpus, object_store_memory=OBJECT_STORE_BYTES, include_dashboard=True, **QUIET
            )
        )


def _join(address: str, num_cpus: int | None, places: Sequence[str]) -> str:
    if num_cpus is not None:
        raise ConfigError(
            f"num_cpus is {num_cpus}, but RAY_ADDRESS={address} names a cluster that has its own; drop one of them"
        )
    if "://" in address:
        raise ConfigError(
            f"RAY_ADDRESS is {address}, expected host:port of the cluster's head or auto; to run on a cluster from "
            f"outside it, submit the study: ray job submit --address <its dashboard> --working-dir . -- python ..."
        )
    _reach(address)
    try:
        sent = {"py_modules": [str(_package_folder())], "env_vars": for_workers(places)}
        return _dashboard_of(ray.init(runtime_env=sent, **QUIET))
    except (ConnectionError, RuntimeError, AuthenticationError) as error:
        raise _unreachable(address, error) from error


def _dashboard_of(context: Any) -> str:
    """Web address of the dashboard of what was started or joined; empty where it has none."""
    return f"http://{context.dashboard_url}" if context.dashboard_url else ""


def _reach(address: str) -> None:
    """ConfigError where nobody listens: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()
    except OSError as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"no cluster can be joined at RAY_ADDRESS={address}: {error}; correct it, or unset it to run on this machine; "
        f"a cluster that wants a token needs RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
    )


def _describe(started_here: bool, dashboard: str) -> ClusterInfo:
    alive = [node["Resources"] for node in _nodes() if node["Alive"]]
    shapes = tuple(_shape(resources) for resources in alive)
    if not started_here:
        shapes = _autoscaled_shapes() or shapes
    return ClusterInfo(
        cpus=sum(shape.cpus for shape in shapes),
        gpus=sum(shape.gpus for shape in shapes),
        nodes=len(alive),
        address=ray.get_runtime_context().gcs_address,
        started_here=started_here,
        shapes=shapes,
        dashboard=dashboard,
    )


def _nodes() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return nodes


def _autoscaled_shapes() -> tuple[NodeShape, ...]:
    """The head and every machine that `ray up`'s cluster file allows; nothing where this is not such a head."""
    path = AUTOSCALING_FILE.expanduser()
    if not path.exists():
        return ()
    config = json.loads(path.read_text())
    shapes: list[NodeShape] = []
    for name, node_type in config["available_node_types"].items():
        count = 1 if name == config["head_node_type"] else min(node_type["max_workers"], config["max_workers"])
        shapes += [_shape(node_type.get("resources", {}))] * count
    return tuple(shapes)


def _shape(resources: dict[str, float]) -> NodeShape:
    kinds = [name.removeprefix(ACCELERATOR) for name in resources if name.startswith(ACCELERATOR)]
    return NodeShape(resources.get("CPU", 0.0), resources.get("GPU", 0.0), accelerator=kinds[0] if kinds else "")


def _package_folder() -> Path:
    return Path(recscale.__file__).resolve().parent


@contextmanager
def _package_on_path() -> Iterator[None]:
    """Lets the processes that start in this block import this very recscale, installed or not."""
    root = str(_package_folder().parent)
    before = os.environ.get("PYTHONPATH")
    if root not in (str(Path(folder).resolve()) for folder in site.getsitepackages()):
        os.environ["PYTHONPATH"] = root if before is None else os.pathsep.join((root, before))
    try:
        yield
    finally:
        os.environ.pop("PYTHONPATH", None)
        if before is not None:
            os.environ["PYTHONPATH"] = before
