"""What a cluster has, what a trial takes of it, and how many trials fit at once."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from recscale.errors import ConfigError
from recscale.records import Parallel


class Executor(StrEnum):
    """How a trial becomes a Ray Train run: train = a full one with restart and resume; pool = reused processes."""

    TRAIN = "train"
    POOL = "pool"


@dataclass(frozen=True)
class NodeShape:
    """One machine, running or one that the autoscaler may start."""

    cpus: float
    """Logical CPUs that Ray may hand out."""
    gpus: float
    """GPUs that Ray may hand out."""
    accelerator: str = ""
    """Ray's name of their kind, such as A10G; empty where it is not known."""


@dataclass(frozen=True)
class ClusterInfo:
    """The cluster that a study runs on."""

    cpus: float
    """CPUs in all, machines that the autoscaler may add included."""
    gpus: float
    """GPUs in all, machines that the autoscaler may add included."""
    nodes: int
    """Machines running now."""
    address: str
    """Where its control service listens, host:port."""
    started_here: bool
    """Whether this process started it and ends it."""
    shapes: tuple[NodeShape, ...]
    """Every machine, those that the autoscaler may add included."""
    dashboard: str = ""
    """Web address of Ray's dashboard; empty where it is not known."""


@dataclass(frozen=True)
class Share:
    """What one trial holds while it runs."""

    cpus: float = 1.0
    """CPUs per worker; torch uses as many threads, at least one."""
    gpus: float = 0.0
    """GPUs per worker: a fraction of one, or a whole number."""
    workers: int = 1
    """Processes that train the trial together."""
    parallel: Parallel = Parallel.DATA
    """How several workers divide the trial."""

    def __post_init__(self) -> None:
        if not (
            self.cpus >= 0 and self.gpus >= 0 and self.cpus + self.gpus > 0 and math.isfinite(self.cpus + self.gpus)
        ):
            raise ConfigError(
                f"a trial's share is {self.cpus:g} CPUs and {self.gpus:g} GPUs; expected numbers from 0 up, "
                "not both 0; give it a CPU"
            )
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ConfigError(
                f"a trial's share is {self.gpus:g} GPUs; expected a fraction of one GPU or a whole number of them"
            )
        if self.workers < 1:
            raise ConfigError(f"a trial's share is {self.workers} workers; expected at least 1")
        if self.workers > 1 and 0 < self.gpus < 1:
            raise ConfigError(
                f"a trial's share is {self.workers} workers with {self.gpus:g} of a GPU each; NCCL cannot put two "
                "workers on one GPU; give each a whole GPU"
            )

    @property
    def threads(self) -> int:
        """Threads that torch uses in each worker."""
        return max(1, int(self.cpus))

    @property
    def resources(self) -> dict[str, float]:
        """Per worker, by Ray's names; what is 0 is left out."""
        return {name: value for name, value in (("CPU", self.cpus), ("GPU", self.gpus)) if value}

    def __str__(self) -> str:
        """One worker's part; where there are several, how many and how they divide the trial."""
        part = f"{self.cpus:g} CPU" + (f" + {self.gpus:g} GPU" if self.gpus else "")
        return part if self.workers == 1 else f"{self.workers} x ({part}) {self.parallel.value}"


def default_share(info: ClusterInfo) -> Share:
    """One CPU per trial, and one GPU where the cluster has any."""
    return Share(gpus=1.0) if info.gpus >= 1 else Share()


def slots(share: Share, info: ClusterInfo) -> int:
    """Trials that fit at once; a worker never spans machines, a fraction of a GPU never spans GPUs."""
    return sum(workers_on(shape, share) for shape in info.shapes) // share.workers


def check_shares(shares: Iterable[Share], info: ClusterInfo) -> None:
    """ConfigError for a share that this cluster can never give: the trial would wait forever."""
    for share in shares:
        if slots(share, info) < 1:
            machines = ", ".join(sorted({f"{shape.cpus:g} CPU + {shape.gpus:g} GPU" for shape in info.shapes}))
            raise ConfigError(
                f"a trial's share is {share}, but the cluster at {info.address} has {info.cpus:g} CPUs and "
                f"{info.gpus:g} GPUs in machines of {machines or 'nothing'}; lower the share or join a larger cluster"
            )


def workers_on(shape: NodeShape, share: Share) -> int:
    """Workers of a share that one empty machine holds."""
    by_cpu = _whole(shape.cpus / share.cpus) if share.cpus else math.inf
    if not share.gpus:
        by_gpu = math.inf
    elif share.gpus < 1:
        by_gpu = int(shape.gpus) * _whole(1 / share.gpus)
    else:
        by_gpu = _whole(shape.gpus / share.gpus)
    return int(min(by_cpu, by_gpu))


def _whole(ratio: float) -> int:
    """Rounds down, a rounding error aside: 0.3 goes into 0.9 three times."""
    return math.floor(ratio + 1e-9)


def default_executor(shares: Iterable[Share]) -> Executor:
    """train where a trial holds a GPU or several workers; pool on CPUs, where a full run costs 10 s of imports."""
    return Executor.TRAIN if any(share.gpus or share.workers > 1 for share in shares) else Executor.POOL
