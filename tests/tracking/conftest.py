"""PostgreSQL behind an MLflow server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.study.conftest import finish as finish
from tests.study.conftest import grid as grid
from tests.study.conftest import study as study
from tests.tracking.servers import MlflowServer, running_postgres


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """URI of an empty PostgreSQL database."""
    with running_postgres() as uri:
        yield uri


@pytest.fixture(scope="module")
def server(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A running MLflow server on that database."""
    folder: Path = tmp_path_factory.mktemp("server") / "artifacts"
    folder.mkdir()
    running = MlflowServer(database, folder)
    try:
        running.start()
        yield running
    finally:
        running.kill()
