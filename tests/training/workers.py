"""A function in several processes at once that are one gloo process group."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import multiprocessing


def in_workers(workers: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `function(*arguments)` returns in each of them, by rank; raises what the first of them to fail raises."""
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(_worker, (workers, folder, function, arguments), nprocs=workers)
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=False) for rank in range(workers)]


def _worker(rank: int, workers: int, folder: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", workers)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=workers)
    try:
        torch.save(function(*arguments), Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
