"""Real Ray clusters for the tests: an embedded one, and a head that somebody else started."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")

from recscale.cluster.connect import connect
from recscale.cluster.shares import ClusterInfo

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class RayHead:
    """A cluster of one node that the tests started with `ray start`, protected by a token."""

    address: str
    """host:port for RAY_ADDRESS."""
    dashboard: str
    """URL for `ray job submit --address`."""
    python: Path
    """The cluster's interpreter, which cannot import recscale; `python` in a job's command line is this one."""
    environment: dict[str, str]
    """Environment of a driver or a submitter that may use the cluster; RAY_ADDRESS is not in it."""

    def submit(self, working_dir: Path, *command: str) -> subprocess.CompletedProcess[str]:
        """`ray job submit --working-dir`, waiting for its end."""
        target = ["--address", self.dashboard, "--working-dir", str(working_dir), "--", *command]
        return subprocess.run(
            [self.python, "-m", "ray.scripts.scripts", "job", "submit", *target],
            env=self.environment,
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Path]:
    """A folder with a short name: Ray puts sockets into it, whose paths are limited to 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="rs", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def embedded_cluster(short_folder: Path) -> Iterator[ClusterInfo]:
    """Our own cluster with 2 CPUs, for the whole session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", str(short_folder))
        patch.delenv("RAY_ADDRESS", raising=False)
        with connect(num_cpus=2) as info:
            yield info


@pytest.fixture(scope="session")
def ray_head(short_folder: Path) -> Iterator[RayHead]:
    """A head with 2 CPUs on loopback, ended by its process ids."""
    python = python_without_recscale(short_folder / "venv")
    port, dashboard_port, client_port, agent_port = free_ports(4)
    environment = cluster_environment(python, short_folder / "h")
    options = {
        "port": port,
        "dashboard-port": dashboard_port,
        "ray-client-server-port": client_port,
        "dashboard-agent-listen-port": agent_port,
        "min-worker-port": 0,
        "max-worker-port": 0,
        "num-cpus": 2,
        "object-store-memory": 80_000_000,
    }
    command = [python, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    dashboard = f"http://127.0.0.1:{dashboard_port}"
    with running([*command, *(f"--{name}={value}" for name, value in options.items())], environment) as process:
        wait_for(f"{dashboard}/api/version", environment["RAY_AUTH_TOKEN"], process)
        yield RayHead(f"127.0.0.1:{port}", dashboard, python, environment)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source tree, as somebody who never installed it has it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("platform", "studies", "dashboards"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def python_without_recscale(folder: Path) -> Path:
    """An interpreter with every installed package but ours: .pth files of a folder named in a .pth are not read."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site_packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (site_packages / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def cluster_environment(python: Path, home: Path) -> dict[str, str]:
    home.mkdir()
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHON"))}
    return ours | {
        "HOME": str(home),
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_TMPDIR": str(home),
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


@contextmanager
def running(command: list[object], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            for pid in _family(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


def _family(pid: int) -> list[int]:
    """The process and its descendants, as long as it lives."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [pid, *(member for child in children for member in _family(int(child)))]


def wait_for(url: str, token: str, process: subprocess.Popen[bytes]) -> None:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    for _ in range(600):
        assert process.poll() is None, f"ray start ended with {process.returncode}"
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except (urllib.error.URLError, OSError):
            _pause(process)
        else:
            return
    raise AssertionError(f"{url} did not answer")


def _pause(process: subprocess.Popen[bytes]) -> None:
    """Waits a moment, or until the process ends."""
    try:
        process.wait(timeout=0.2)
    except subprocess.TimeoutExpired:
        return
