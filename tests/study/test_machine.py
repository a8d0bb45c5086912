"""Which GPUs this machine has, with and without a driver of one."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from recscale.study import machine

COUNT = "import sys; from recscale.study.machine import gpu_driver, gpus_here; print(len(gpus_here()), gpu_driver())"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file as that of a driver."""
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(machine, "DRIVERS", (f"{tmp_path.relative_to('/')}/nvidia*",))


def test_without_a_driver_torch_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "DRIVERS", (f"{tmp_path.relative_to('/')}/nvidia*",))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("torch was asked"))
    assert not machine.gpu_driver()
    assert machine.gpus_here() == ()


def test_a_driver_whose_gpu_cannot_be_used_is_no_gpu(driver: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert machine.gpu_driver()
    assert machine.gpus_here() == ()


def test_gpus_are_named_with_their_memory_in_torchs_order(driver: None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [SimpleNamespace(name="NVIDIA H200", total_memory=139 << 30), SimpleNamespace(name="T4", total_memory=1)]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: found[number])
    assert machine.gpus_here() == (machine.LocalGPU("NVIDIA H200", 139 << 30), machine.LocalGPU("T4", 1))


def test_this_machine_has_the_gpus_that_torch_has() -> None:
    answer = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    count, has_driver = answer.stdout.split()
    assert int(count) == (torch.cuda.device_count() if torch.cuda.is_available() else 0)
    assert has_driver == str(machine.gpu_driver())
