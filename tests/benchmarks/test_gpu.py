"""The accelerator benchmark's path on a CPU, and what it may import on a bare GPU machine."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.benchmarks import gpu

NOT_THERE = ("ray", "mlflow", "optuna", "duckdb", "pydantic", "scipy", "numba", "tqdm", "plotly", "tyro", "sklearn")


def test_every_kind_of_row_comes_from_one_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "vocabulary_sizes", lambda: (3, 50, 400))
    rows = list(gpu.measure(torch.device("cpu"), 6 * gpu.BATCH, ("dnn",), repeats=1, steps=2))
    names = [row.name for row in rows]
    assert names == [
        "ceiling matrix product fp32",
        "ceiling copy",
        "dnn x1 M=1 fp32 eager",
        "dnn x10 M=10 fp32 eager",
        "dnn x10 M=1 fp32 eager",
        "dnn x1 M=1 fp32 3 seeds stacked, eager",
        "dnn x1 baseline loop with its DataLoader",
        "exact AUC on the device",
        "forecast of the Table 1 grid",
    ]
    assert all(row.ours > 0 for row in rows)
    assert "s per epoch of 33M rows" in rows[2].note


def test_it_needs_nothing_but_torch_numpy_and_pyarrow(project_root: Path) -> None:
    code = f"import sys; sys.modules.update(dict.fromkeys({NOT_THERE!r})); import tests.benchmarks.gpu"
    done = subprocess.run([sys.executable, "-c", code], cwd=project_root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is at hand")
def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu"])
    with pytest.raises(SystemExit, match="no GPU is at hand"):
        gpu.main()
