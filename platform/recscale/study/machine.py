"""What the machine does that trials run on, per second and in memory, and the GPUs of this one."""

import math
from dataclasses import dataclass
from pathlib import Path

DEVICE_FILES = ("nvidia*", "nvmap", "dxg", "kfd")
"""In /dev, of the drivers of GPUs that torch could find: NVIDIA's, also on Jetson and under Windows, and AMD's."""
NO_UNITS_SLOWDOWN = 2.0
"""From here on a machine has no units for bfloat16."""


@dataclass(frozen=True)
class Machine:
    """What one trial's share of this machine can do, measured."""

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
    """Its maker's name."""
    memory_bytes: int
    """Its memory."""


def gpus_here() -> tuple[LocalGPU, ...]:
    """This machine's GPUs as torch finds them, which is loaded only where the system has a driver of one."""
    if not any(any(Path("/dev").glob(pattern)) for pattern in DEVICE_FILES):
        return ()
    import torch

    found = (torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count()))
    return tuple(LocalGPU(gpu.name, gpu.total_memory) for gpu in found)
