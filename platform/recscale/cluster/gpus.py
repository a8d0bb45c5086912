"""What kinds of GPU there are, by the names under which Ray knows them, and which one a cluster has."""

from dataclasses import replace

from recscale.cluster.shares import ClusterInfo
from recscale.errors import ConfigError
from recscale.study.machine import Machine, gpus_here

GIB = 1 << 30

KINDS = {
    "T4": Machine(8e12, 8e12, 320e9, int(14.5 * GIB)),
    "V100": Machine(15e12, 15e12, 900e9, int(15.5 * GIB)),
    "A10G": Machine(31e12, 70e12, 600e9, 22 * GIB),
    "L4": Machine(30e12, 121e12, 300e9, 22 * GIB),
    "L40S": Machine(91e12, 362e12, 864e9, 44 * GIB),
    "A100": Machine(19e12, 312e12, 1555e9, 39 * GIB),
    "H100": Machine(51e12, 756e12, 2000e9, 79 * GIB),
    "H200": Machine(67e12, 989e12, 4800e9, 139 * GIB),
}
"""Peak rates of the makers' data sheets (fp32, bfloat16 or fp32 where it has none, memory), and the memory that a
process sees, rounded down; where a name has several cards, those of the smallest."""


def gpu_of(info: ClusterInfo, memory_gib: float | None) -> Machine | None:
    """The smallest GPU of the cluster, by `memory_gib`, by Ray's name of it, or by torch on this machine.

    None where nobody says what its memory is. Where only the memory is known, the rates are 0.
    """
    if memory_gib is not None and not memory_gib > 0:
        raise ConfigError(f"gpu_memory is {memory_gib:g} GiB, expected a number above 0")
    names = {shape.accelerator for shape in info.shapes if shape.gpus}
    gpu = None
    if names and names <= KINDS.keys():
        gpu = min((KINDS[name] for name in names), key=lambda kind: kind.memory_bytes)
    elif info.started_here and (here := gpus_here()):
        gpu = Machine(0.0, 0.0, 0.0, here[0].memory_bytes)
    if memory_gib is None:
        return gpu
    return replace(gpu or Machine(0.0, 0.0, 0.0, 0), memory_bytes=int(memory_gib * GIB))
