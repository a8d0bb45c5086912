"""The commands of ray_cluster.yaml that any machine can run, really run: `make cluster-setup`.

Its setup commands in a clean virtual environment with a home of its own, then the imports that a study needs of them,
and MLflow's server as the head starts it.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
IMPORTS = (
    "import ray.train.torch, mlflow, optuna, pyarrow, duckdb, plotly, numba, scipy, pydantic, tqdm, starlette, tyro"
)
SERVER_SECONDS = 120
"""MLflow makes its database at its first start."""


def main() -> None:
    """Runs them and prints what they took; raises at the first that fails."""
    config = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        environment = _clean_machine(home, config["file_mounts"])
        started = time.perf_counter()
        for command in config["setup_commands"]:
            subprocess.run(["bash", "-c", command], env=environment, cwd=home, check=True)
        print(f"setup commands in a clean environment: {time.perf_counter() - started:.0f} s", flush=True)
        subprocess.run(["pip", "check"], env=environment, cwd=home, check=True)
        subprocess.run([home / "venv/bin/python", "-c", IMPORTS], env=environment, cwd=home, check=True)
        _serve(next(c for c in config["head_start_ray_commands"] if "mlflow server" in c), environment, home)


def _clean_machine(home: Path, mounts: dict[str, str]) -> dict[str, str]:
    """The files that `ray up` copies, an interpreter without packages, and an environment that knows only these."""
    for target, source in mounts.items():
        if not source.startswith("~"):
            place = home / target.removeprefix("~/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, place)
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    subprocess.run([base, "-m", "venv", home / "venv"], check=True)
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RAY_", "MLFLOW_"))}
    settings = next((p for p in _pip_settings() if p.exists()), None)
    known = {"PIP_CONFIG_FILE": str(settings)} if settings else {}
    return {**ours, **known, "HOME": str(home), "PATH": f"{home}/venv/bin:{os.environ['PATH']}"}


def _pip_settings() -> list[Path]:
    """Where this user's pip is told of mirrors."""
    return [
        Path(os.environ.get("PIP_CONFIG_FILE", "")),
        *(Path.home() / p for p in (".config/pip/pip.conf", ".pip/pip.conf")),
    ]


def _serve(command: str, environment: dict[str, str], home: Path) -> None:
    """Starts MLflow by the head's command, asks it, and ends it with all that it started."""
    started = time.perf_counter()
    with subprocess.Popen(
        ["bash", "-c", f"{command} wait"], env=environment, cwd=home, start_new_session=True
    ) as shell:
        try:
            while True:
                try:
                    with urllib.request.urlopen("http://127.0.0.1:5000/health", timeout=5) as answer:
                        assert answer.read() == b"OK"
                    break
                except urllib.error.URLError:
                    if time.perf_counter() - started > SERVER_SECONDS:
                        raise
                    time.sleep(0.5)
        finally:
            os.killpg(shell.pid, signal.SIGTERM)
    print(f"MLflow on the loopback: answers after {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
