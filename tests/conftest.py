"""What several rooms' tests share: a small dataset, made once, and a real browser."""

from pathlib import Path

import pytest
import torch
from hypothesis import settings

from recscale.data.reader import Dataset
from recscale.data.synthetic import write_synthetic
from tests.dashboards.browsing import browser as browser

# No test of ours fails by the clock: a shared machine may stand still at any moment.
settings.register_profile("recscale", deadline=None)
settings.load_profile("recscale")


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The embedded world with 6,000 rows."""
    folder = tmp_path_factory.mktemp("data") / "small"
    write_synthetic(folder, rows=6_000, seed=1)
    return Dataset.open(folder)


@pytest.fixture
def one_thread():
    """One torch thread, as a pooled trial on one CPU has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parents[1]
