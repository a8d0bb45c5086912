"""What several rooms' tests share: a small dataset, made once, and a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.fs
import pytest
import torch
from hypothesis import settings

from recscale.data.reader import Dataset
from recscale.data.synthetic import write_synthetic
from tests.dashboards.browsing import browser as browser
from tests.storage.servers import FaultyProxy, running_s3

# No test of ours fails by the clock: a shared machine may stand still at any moment.
settings.register_profile("recscale", deadline=None)
settings.load_profile("recscale")


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The embedded world with 6,000 rows."""
    folder = tmp_path_factory.mktemp("data") / "small"
    write_synthetic(folder, rows=6_000, seed=1)
    return Dataset.open(folder)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """host:port of a real S3 server in a process of its own."""
    with running_s3() as address:
        yield address


@pytest.fixture
def bucket(s3_server: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of a new bucket; the environment says how it is reached, and where datasets are kept."""
    cache = tmp_path_factory.mktemp("cache")
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_MAX_ATTEMPTS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not a secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{s3_server}")
    monkeypatch.setenv("RECSCALE_CACHE", str(cache))
    name = cache.name.replace("cache", "bucket-")
    server = pyarrow.fs.S3FileSystem(endpoint_override=s3_server, scheme="http", allow_bucket_creation=True)
    server.create_dir(name)
    return f"s3://{name}"


@pytest.fixture
def faulty(bucket: str, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """What stands between this process and the bucket, and fails when it is told to."""
    proxy = FaultyProxy(s3_server)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{proxy.address}")
    yield proxy
    proxy.close()


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
