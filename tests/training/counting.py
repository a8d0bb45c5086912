"""Bytes that a worker sends, counted at torch's own collectives, whoever calls them."""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch.utils._python_dispatch import TorchDispatchMode

SILENT = ("wait_tensor", "_wrap_tensor_autograd")
"""Operations among the collectives that send nothing."""


class SentBytes(TorchDispatchMode):
    """Sums up, by rings, what the collectives inside the block send; an unknown one is refused."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0.0
        self.calls: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        space, _, name = func._schema.name.partition("::")
        if space in ("c10d", "_c10d_functional") and name not in SILENT:
            self._count(name, args)
        return func(*args, **(kwargs or {}))

    def _count(self, name: str, args: tuple[Any, ...]) -> None:
        workers = dist.get_world_size()
        shares = {
            "allreduce_": lambda: 2 * _bytes(args[0]) / workers,
            "all_reduce": lambda: 2 * _bytes(args[0]) / workers,
            "allgather_": lambda: _bytes(args[1]),
            "_allgather_base_": lambda: _bytes(args[1]),
            "all_gather_into_tensor": lambda: _bytes(args[0]),
            "reduce_scatter_tensor": lambda: _bytes(args[0]) / workers,
        }
        sent: Callable[[], float] = shares[name]
        self.total += sent() * (workers - 1)
        self.calls.append(name)


def _bytes(tensors: Any) -> int:
    listed = [tensors] if isinstance(tensors, torch.Tensor) else list(tensors)
    return sum(tensor.nbytes for tensor in listed)
