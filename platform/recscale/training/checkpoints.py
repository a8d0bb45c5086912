"""Where a training run keeps its state between evaluations, so that a killed one goes on from there."""

import os
from pathlib import Path
from typing import Any, Protocol

import torch

from recscale.errors import DataError

State = dict[str, Any]
"""Tensors, numbers, strings and containers of them: what torch loads with weights_only."""


class Checkpoints(Protocol):
    """Keeps the newest state of one training run."""

    def load(self) -> State | None:
        """The newest state, or None where the run starts from nothing."""

    def save(self, state: State) -> None:
        """Keeps this state instead of the one before."""


class FolderCheckpoints:
    """Checkpoints as one file in a folder, replaced atomically."""

    def __init__(self, folder: Path, name: str = "state.pt") -> None:
        self._path = folder / name

    def load(self) -> State | None:
        """The file's state, tensors on the CPU; None where there is none; DataError where it cannot be read."""
        if not self._path.exists():
            return None
        try:
            state: State = torch.load(self._path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise DataError(
                f"{self._path} is no readable checkpoint ({type(error).__name__}); delete it to start the trial over"
            ) from error
        return state

    def save(self, state: State) -> None:
        """Writes beside the file, then replaces it: a reader sees the old state or the new one, never a part."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f".{self._path.stem}.{os.getpid()}.pt")
        try:
            torch.save(state, temporary)
            os.replace(temporary, self._path)
        finally:
            temporary.unlink(missing_ok=True)
