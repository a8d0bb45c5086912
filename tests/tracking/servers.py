"""A real PostgreSQL and a real MLflow server on loopback, each a process of its own."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

OWNER = "postgres"
"""PostgreSQL refuses to run as root; Debian's package brings this user."""


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def postgres_binary(name: str) -> str:
    """Path of one of PostgreSQL's programs; skips where the package is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    path = str(found[-1]) if found else shutil.which(name)
    if path is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    return path


@contextmanager
def running_postgres() -> Iterator[str]:
    """SQLAlchemy URI of a new, empty database."""
    initdb, ctl = postgres_binary("initdb"), postgres_binary("pg_ctl")
    folder = Path(tempfile.mkdtemp(prefix="recscale-pg-", dir="/tmp"))
    user: dict[str, int] = {}
    if os.getuid() == 0:
        entry = pwd.getpwnam(OWNER)
        user = {"user": entry.pw_uid, "group": entry.pw_gid}
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    port, data, log = free_port(), folder / "data", folder / "log"
    listen = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"

    def call(*command: str) -> None:
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, **user)

    try:
        call(initdb, "-D", str(data), "-U", OWNER, "-A", "trust", "--no-locale", "-E", "UTF8")
        call(ctl, "-D", str(data), "-l", str(log), "-w", "-o", listen, "start")
        try:
            yield f"postgresql+psycopg2://{OWNER}@127.0.0.1:{port}/postgres"
        finally:
            call(ctl, "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class MlflowServer:
    """An MLflow server that can be killed and started again at the same address."""

    def __init__(self, database: str, folder: Path) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._database, self._folder = database, folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        command = ["server", "--backend-store-uri", self._database, "--artifacts-destination", str(self._folder)]
        place = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "2"]
        with (self._folder.parent / "mlflow-server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", *command, *place], stdout=log, stderr=log, start_new_session=True
            )
        while self._process.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"{self.address}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=0.2)
        raise RuntimeError(f"the MLflow server ended with {self._process.returncode}; see mlflow-server.log")

    def kill(self) -> None:
        """SIGKILL to it and its workers, whatever they are doing."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
