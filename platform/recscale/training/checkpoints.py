"""Where a training run keeps its state between evaluations, so that a killed one goes on from there."""

import os
import tempfile
from pathlib import Path
from typing import Any, Protocol

import torch

from recscale.errors import DataError
from recscale.storage.location import Location, local_copy
from recscale.storage.remote import RemotePath

STATE_FILE = "state.pt"
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

    def __init__(self, folder: Path, name: str = STATE_FILE) -> None:
        self._path = folder / name

    def load(self) -> State | None:
        """The file's state, tensors on the CPU; None where there is none; DataError where it cannot be read."""
        if not self._path.exists():
            return None
        return _read(self._path, self._path)

    def save(self, state: State) -> None:
        """Writes beside the file, then replaces it: a reader sees the old state or the new one, never a part.

        DataError where the disk does not take it.
        """
        temporary = self._path.with_name(f".{self._path.stem}.{os.getpid()}.pt")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(state, temporary)
            os.replace(temporary, self._path)
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"cannot write {self._path}: {str(error).splitlines()[0]}; free space, then run the same command again"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)


class RemoteCheckpoints:
    """Checkpoints as one object of an object store, which appears whole or not at all."""

    def __init__(self, folder: RemotePath) -> None:
        self._path = folder / STATE_FILE

    def load(self) -> State | None:
        """The state of the object, tensors on the CPU; None where there is none; DataError where it cannot be read."""
        try:
            with local_copy(self._path) as path:
                return _read(path, self._path)
        except FileNotFoundError:
            return None

    def save(self, state: State) -> None:
        """Writes the state beside the process, then uploads it instead of the one before."""
        with tempfile.TemporaryDirectory() as folder:
            FolderCheckpoints(Path(folder)).save(state)
            self._path.upload(Path(folder) / STATE_FILE)


def checkpoints_in(folder: Location) -> Checkpoints:
    """The checkpoints of a folder, local or remote."""
    return RemoteCheckpoints(folder) if isinstance(folder, RemotePath) else FolderCheckpoints(Path(str(folder)))


def _read(path: Path, place: Location) -> State:
    """The state in a local file, which is or was copied from `place`."""
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DataError(
            f"{place} is no readable checkpoint ({type(error).__name__}); delete it to start the trial over"
        ) from error
    return state
