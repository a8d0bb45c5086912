"""Where a study's numbers come from: command, versions, machine and data, as text."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import recscale
from recscale.data.reader import Dataset
from recscale.study.machine import gpus_here

PACKAGES = ("torch", "ray", "mlflow", "pyarrow", "numpy", "plotly")


def gather_provenance(dataset: Dataset, cluster: str) -> dict[str, str]:
    """Everything a reader needs to run the same study again."""
    return {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "recscale": recscale.__version__,
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in PACKAGES},
        **_machine(),
        "cluster": cluster,
        **_data(dataset),
    }


def _machine() -> dict[str, str]:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    gpu = next((gpu.name for gpu in gpus_here()), "none")
    return {"cpu": _cpu_name(), "cores": str(os.cpu_count()), "memory": f"{memory / 2**30:.0f} GiB", "gpu": gpu}


def _cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _git_commit() -> str:
    """The commit of the code, where it runs from a checkout."""
    root = Path(recscale.__file__).parents[2]
    if not (root / ".git").exists():
        return "unknown"
    answer = subprocess.run(["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    return answer.stdout.strip() or "unknown"


def _data(dataset: Dataset) -> dict[str, str]:
    manifest = dataset.manifest
    rows = {f"{split.name}_rows": str(split.rows) for split in manifest.splits}
    bayes = manifest.bayes
    ceiling = {"bayes_auc": repr(bayes.auc), "bayes_log_loss": repr(bayes.log_loss)} if bayes else {}
    return {
        "dataset": manifest.name,
        "dataset_path": str(dataset.place),
        "dataset_fingerprint": manifest.fingerprint,
        "dataset_format": manifest.source.format,
        **rows,
        **ceiling,
    }
