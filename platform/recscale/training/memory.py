"""Peak memory of one training run."""

import resource
from pathlib import Path

import torch

PROC = Path("/proc/self")


class MemoryPeak:
    """Peak since construction: allocated device memory on an accelerator, else the process's resident memory.

    On a CPU the kernel's high-water mark is reset where the system allows it (Linux); elsewhere the peak is that of the
    whole process, which a reused process shares with the trials before.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        elif (PROC / "clear_refs").exists():
            (PROC / "clear_refs").write_text("5")

    def read(self) -> int:
        """Bytes."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        if (PROC / "status").exists():
            lines = (PROC / "status").read_text().splitlines()
            return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
