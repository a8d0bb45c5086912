"""What the machine does that trials run on, per second and in memory, and the GPUs of this one."""

import math
from dataclasses import dataclass
from pathlib import Path

DRIVERS = ("dev/nvidia*", "proc/driver/nvidia/version", "dev/nvmap", "dev/dxg", "dev/kfd")
"""Files of the drivers of GPUs that torch could find: NVIDIA's, also on Jetson and under Windows, and AMD's."""
NO_UNITS_SLOWDOWN = 2.0
"""From here on a machine has no units for bfloat16."""


@dataclass(frozen=True)
class Machine:
    """What one trial's share of a machine, or a GPU, can do: measured, or of its maker's data sheet."""

    flops_per_second: float
    """Matrix-product rate in fp32."""
    bf16_flops_per_second: float
    """Matrix-product rate in bfloat16."""
    bytes_per_second: float
    """Rate of reading and writing memory."""
    memory_bytes: int
    """Memory that one worker of a trial may use."""

    @property
    def bf16_slowdown(self) -> float:
        """How many times as long a product takes in bfloat16."""
        return self.flops_per_second / self.bf16_flops_per_second


IDLE = Machine(math.inf, math.inf, math.inf, 0)
"""A machine that has nothing left to train: what is finished tells its own time, so nothing is measured."""


@dataclass(frozen=True)
class LocalGPU:
    """A GPU of this machine."""

    name: str
    """What its maker calls it."""
    memory_bytes: int
    """Its memory."""


def gpu_driver() -> bool:
    """Whether this machine has a driver of a GPU."""
    return any(any(Path("/").glob(pattern)) for pattern in DRIVERS)


def gpus_here() -> tuple[LocalGPU, ...]:
    """This machine's GPUs as torch can use them; torch is loaded only where there is a driver of one."""
    if not gpu_driver():
        return ()
    import torch

    if not torch.cuda.is_available():
        return ()
    found = (torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count()))
    return tuple(LocalGPU(gpu.name, gpu.total_memory) for gpu in found)
