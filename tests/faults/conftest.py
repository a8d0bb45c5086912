"""The environment of a user with no cluster, in a folder of its own."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import checkout as checkout
from tests.cluster.conftest import ray_head as ray_head
from tests.cluster.conftest import short_folder as short_folder


@pytest.fixture
def local() -> Iterator[dict[str, str]]:
    """Environment of a driver; its RAY_TMPDIR is this test's own, by which its processes are known."""
    yield from _environment()


@pytest.fixture
def other() -> Iterator[dict[str, str]]:
    """Environment of another driver at the same time."""
    yield from _environment()


def _environment() -> Iterator[dict[str, str]]:
    folder = Path(tempfile.mkdtemp(prefix="rf", dir="/tmp"))
    ours = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI")}
    yield ours | {"RAY_TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    shutil.rmtree(folder, ignore_errors=True)
