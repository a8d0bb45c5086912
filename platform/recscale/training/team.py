"""The workers of one trial, as each of them sees the others: the collectives that their torch process group offers."""

from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from recscale.errors import ConfigError

Thing = TypeVar("Thing")


class Team:
    """This worker's place in torch's default process group; every worker calls the same methods in the same order."""

    def __init__(self) -> None:
        if not dist.is_initialized():
            raise ConfigError("no torch process group is there; start the workers with Ray Train or init_process_group")
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()

    def add(self, tensor: Tensor) -> Tensor:
        """The sum over workers, in place, the same bits on each."""
        dist.all_reduce(tensor)
        return tensor

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Every worker's tensor of this shape, by rank."""
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(parts, tensor.contiguous())
        return parts

    def from_first(self, tensor: Tensor) -> Tensor:
        """The first worker's tensor, in place."""
        dist.broadcast(tensor, src=0)
        return tensor

    def gather_objects(self, thing: Thing) -> list[Thing]:
        """Every worker's small object, by rank."""
        things: list[Any] = [None] * self.size
        dist.all_gather_object(things, thing)
        return things
