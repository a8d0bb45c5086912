"""Paths in a real S3 server: as pathlib's, whole or not there, tried again when it helps and not when it does not."""

import pickle
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.fs
import pytest

from recscale.errors import ConfigError, DataError
from recscale.storage.location import (
    Location,
    for_each,
    local_copy,
    location,
    modified_ns,
    remove_tree,
    write_atomic,
)
from recscale.storage.remote import RemotePath
from tests.storage.servers import Fault, FaultyProxy

FILES = ("study.json", "a/study.json", "a/x.json", "a/sub/y.json", "b/study.json", "b/z.txt", "c/other.json")
LARGE = bytes(range(256)) * 48 * 1024  # 12 MiB, uploaded in two parts
PUT = """
import sys
from pathlib import Path
from recscale.storage.location import location
location(sys.argv[1]).write_bytes(b"x" * int(sys.argv[2]))
"""


def _tree(root: Location) -> Location:
    for name in FILES:
        write_atomic(root / name, name.encode())
    return root


def _seen(root: Location) -> dict[str, object]:
    """Everything that a tree answers, with paths relative to it."""
    places = ["", *FILES, "a", "a/sub", "d", "a/absent.json", "stud"]

    def relative(found: list[Location]) -> list[str]:
        return sorted(str(place).removeprefix(str(root)) for place in found)

    return {
        "exists": [(root / place).exists() for place in places],
        "is_file": [(root / place).is_file() for place in places],
        "is_dir": [(root / place).is_dir() for place in places],
        "names": [(root / place).name for place in places[1:]],
        "parents": relative([(root / place).parent for place in places[1:]]),
        "below": relative(list(root.iterdir())),
        "json": relative(list((root / "a").glob("*.json"))),
        "studies": relative(list(root.glob("*/study.json"))),
        "nothing": relative(list((root / "d").glob("*.json"))),
        "content": [(root / place).read_bytes() for place in FILES],
        "text": (root / "b/z.txt").read_text(),
    }


def test_a_remote_tree_answers_as_a_local_one(bucket: str, tmp_path: Path) -> None:
    local, remote = _tree(tmp_path / "tree"), _tree(location(f"{bucket}/tree"))
    assert _seen(remote) == _seen(local)
    for root in (local, remote):
        (root / "a/x.json").unlink()
        (root / "a/x.json").unlink(missing_ok=True)
        with pytest.raises(FileNotFoundError):
            (root / "a/x.json").read_bytes()
        with pytest.raises(FileNotFoundError):
            list((root / "d").iterdir())
        remove_tree(root / "b")
        remove_tree(root / "d")
        assert not (root / "b/study.json").exists()
        assert (root / "a/study.json").exists()
    assert modified_ns(remote / "study.json") > 0


def test_files_go_there_and_back(bucket: str, tmp_path: Path) -> None:
    place = RemotePath.parse(f"{bucket}/large")
    (tmp_path / "large").write_bytes(LARGE)
    place.upload(tmp_path / "large")
    with local_copy(place) as path:
        assert path.name == "large"
        assert path.read_bytes() == LARGE
    assert not path.exists()
    with local_copy(tmp_path / "large") as path:
        assert path == tmp_path / "large"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("s3://bucket/a/b", "s3://bucket/a/b"),
        ("s3://bucket//a///b/", "s3://bucket/a/b"),
        ("s3://bucket", "s3://bucket"),
        (
            "s3://bucket/a?endpoint_override=127.0.0.1:9000&scheme=http",
            "s3://bucket/a?endpoint_override=127.0.0.1:9000&scheme=http",
        ),
        ("gs://bucket/a?anonymous=true", "gs://bucket/a?anonymous=true"),
    ],
)
def test_a_uri_means_the_same_after_it_was_written_down(text: str, written: str) -> None:
    place = location(text)
    assert str(place) == written
    assert location(str(place)) == place
    assert pickle.loads(pickle.dumps(place)) == place
    assert str((place / "x/y").parent.parent) == written


def test_paths_are_local_and_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert location("runs") == tmp_path / "runs"
    assert location(tmp_path) == tmp_path


def test_gs_is_googles_filesystem() -> None:
    place = location("gs://bucket/runs/quick?anonymous=true")
    assert isinstance(place, RemotePath)
    assert isinstance(place.filesystem, pyarrow.fs.GcsFileSystem)
    assert place.in_filesystem == "bucket/runs/quick"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s4://bucket/x", "got the scheme 's4', expected a local path, s3:// or gs://"),
        ("s3:/bucket/x", "expected s3://BUCKET/PATH"),
        ("s3:///x", "expected s3://BUCKET/PATH"),
        ("s3://bucket/x?endpoint=h", "got the parameter 'endpoint', expected one of endpoint_override, region, scheme"),
        ("s3://key:secret@bucket/x", "holds credentials"),
        ("s3://bucket/a/../b", "mean nothing in an object store"),
    ],
)
def test_a_mistyped_uri_is_one_clear_error(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        location(text)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_uri_can_say_where_its_server_is(bucket: str, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomic(location(f"{bucket}/x"), b"content")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    place = location(f"{bucket}/x?endpoint_override={s3_server}&scheme=http")
    assert place.read_bytes() == b"content"
    assert (place.parent / "x").read_bytes() == b"content"


def test_a_pickled_filesystem_keeps_its_retries(faulty: FaultyProxy, bucket: str) -> None:
    place = RemotePath.parse(f"{bucket}/x")
    place.write_bytes(b"content")
    filesystem = pickle.loads(pickle.dumps(place.filesystem))
    assert filesystem is place.filesystem
    assert filesystem.get_file_info(place.in_filesystem).size == 7


PASSING = (Fault.ERROR_500, Fault.ERROR_503, Fault.RESET, Fault.RESET_AFTER, Fault.CUT_UPLOAD)


def test_what_passes_is_tried_again(faulty: FaultyProxy, bucket: str) -> None:
    """Every kind of fault in small and large writes and in reads, all under way at the same time."""
    root = RemotePath.parse(f"{bucket}/again")
    faulty.latency = 0.01
    cases = [(fault, len(content), content) for fault in PASSING for content in (b"small", LARGE)]
    rules = [faulty.fail(fault, "PUT", f"/{fault.name}-{size}", times=1) for fault, size, _ in cases]
    for_each(lambda case: (root / f"{case[0].name}-{case[1]}").write_bytes(case[2]), cases, root)
    rules += [
        faulty.fail(fault, "GET", f"/{fault.name}-{size}", times=1)
        for fault, size, _ in cases
        if fault is not Fault.CUT_UPLOAD
    ]
    rules += [faulty.fail(Fault.CUT_ANSWER, "GET", f"/CUT_UPLOAD-{size}", times=1) for size in (5, len(LARGE))]
    found = for_each(lambda case: (root / f"{case[0].name}-{case[1]}").read_bytes(), cases, root)
    assert found == [content for _, _, content in cases]
    assert all(rule.met.is_set() and rule.times == 0 for rule in rules)


def test_what_does_not_pass_ends_in_one_error_after_the_stated_attempts(
    faulty: FaultyProxy, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    place = RemotePath.parse(f"{bucket}/never")
    faulty.fail(Fault.ERROR_503, "PUT", "/never", times=100)
    with pytest.raises(DataError, match=r"cannot write s3://.*/never: .*SLOW_DOWN.*gave up after 2 attempts") as caught:
        place.write_bytes(b"content")
    assert "\n" not in str(caught.value)
    assert faulty.seen("PUT", "/never") == 2
    assert not place.exists()


def test_a_server_that_is_away_is_one_error(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(DataError, match=r"cannot look at s3://.*/x: .*gave up after 2 attempts"):
        location(f"{bucket}/x").exists()


def test_what_is_refused_fails_at_once(faulty: FaultyProxy, bucket: str) -> None:
    place = RemotePath.parse(f"{bucket}/denied")
    faulty.fail(Fault.ERROR_403, "PUT", "/denied", times=100)
    with pytest.raises(DataError, match=r"cannot write s3://.*/denied: .*ACCESS_DENIED.*check the credentials"):
        place.write_bytes(b"content")
    assert faulty.seen("PUT", "/denied") == 1
    absent = RemotePath.parse(f"{bucket.replace('bucket', 'absent')}/x")
    for action in (absent.check, lambda: absent.write_bytes(b"content"), lambda: absent.write_bytes(LARGE)):
        before = len(faulty.requests)
        with pytest.raises(DataError, match=r"s3://absent-\d+/x: .*correct the bucket's name"):
            action()
        assert len(faulty.requests) == before + 1


def test_no_credentials_is_one_error(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomic(location(f"{bucket}/x"), b"content")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "absent"))
    with pytest.raises(DataError, match=r"s3://.*/x.*ACCESS_DENIED.*check the credentials"):
        location(f"{bucket}/x?region=us-east-1").read_bytes()


@pytest.mark.parametrize(
    ("method", "part"), [("POST", "?uploads"), ("PUT", "partNumber=1"), ("PUT", "partNumber=2"), ("POST", "?uploadId=")]
)
def test_a_failed_upload_leaves_what_was_there(method: str, part: str, faulty: FaultyProxy, bucket: str) -> None:
    new, old = RemotePath.parse(f"{bucket}/new"), RemotePath.parse(f"{bucket}/old")
    old.write_bytes(b"before")
    for place in (new, old):
        rule = faulty.fail(Fault.ERROR_403, method, part, times=1)
        with pytest.raises(DataError, match=f"cannot write s3://.*/{place.name}"):
            place.write_bytes(pa.py_buffer(LARGE))
        assert rule.met.is_set()
    assert not new.exists()
    assert old.read_bytes() == b"before"


@pytest.mark.parametrize(("size", "part"), [(1000, "/killed"), (len(LARGE), "partNumber=2")])
def test_an_upload_killed_half_way_leaves_nothing(size: int, part: str, faulty: FaultyProxy, bucket: str) -> None:
    place = location(f"{bucket}/killed")
    rule = faulty.fail(Fault.HOLD, "PUT", part)
    with subprocess.Popen([sys.executable, "-c", PUT, str(place), str(size)]) as writer:
        assert rule.met.wait(60)
        writer.send_signal(signal.SIGKILL)
    assert writer.returncode == -signal.SIGKILL
    assert not place.exists()
    write_atomic(place, b"content")
    assert place.read_bytes() == b"content"
