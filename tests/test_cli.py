"""The command line, as a user types it: output, one-line errors, exit status."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from recscale import cli
from recscale.data.reader import Dataset


def _recscale(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "recscale.cli", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The command in this process: a child would import torch anew each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["recscale", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


@pytest.fixture
def clicks(tmp_path: Path) -> Path:
    """200 rows of CSV: two features and a label."""
    path = tmp_path / "clicks.csv"
    lines = [f"{row % 2},u{row % 7},v{row % 5}" for row in range(200)]
    path.write_text("\n".join(["clicked,user,video", *lines]) + "\n")
    return path


def test_prepare_then_inspect(clicks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dest = tmp_path / "dataset"
    status, out, _ = _run(capsys, "prepare", "table", str(clicks), str(dest), "--label", "clicked")
    assert status == 0
    assert out == f"{dest}: train 160, valid 20, test 20 rows, 2 fields, 14 ids, 0 rejected\n"
    status, out, _ = _run(capsys, "inspect", str(dest))
    assert status == 0
    assert Dataset.open(dest).manifest.fingerprint in out


def test_prepare_then_inspect_at_a_uri(
    clicks: Path, tmp_path: Path, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare = ("prepare", "table", str(clicks), f"{bucket}/d", "--label", "clicked")
    status, out, _ = _run(capsys, *prepare)
    assert status == 0
    assert out == f"{bucket}/d: train 160, valid 20, test 20 rows, 2 fields, 14 ids, 0 rejected\n"
    status, out, _ = _run(capsys, "inspect", f"{bucket}/d")
    assert status == 0
    assert f"{bucket}/d\n" in out
    local = tmp_path / "d"
    _run(capsys, *prepare[:3], str(local), *prepare[4:])
    assert Dataset.open(local).manifest == Dataset.open(f"{bucket}/d").manifest
    status, out, err = _run(capsys, *prepare)
    assert (status, out) == (1, "")
    assert err == f"error: {bucket}/d already holds a dataset; remove it or choose another\n"
    for arguments in (("inspect", "s3://no-such-bucket/d"), ("status", "quick", "--storage", "s3://no-such-bucket/r")):
        status, _, err = _run(capsys, *arguments)
        assert status == 1
        assert "correct the bucket's name, or make it" in err
        assert err.count("\n") == 1


def test_drop_duplicates_happens_before_the_split(
    clicks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("prepare", "table", str(clicks), str(tmp_path / "d"), "--label", "clicked", "--drop-duplicates")
    _, out, _ = _run(capsys, *arguments)
    assert "train 56, valid 7, test 7 rows" in out


def test_files_per_split_take_the_destination_alone(
    clicks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [item for name in ("train", "valid", "test") for item in (f"--{name}", str(clicks))]
    status, out, _ = _run(capsys, "prepare", "table", str(tmp_path / "d"), *parts, "--label", "clicked")
    assert status == 0
    assert "train 200, valid 200, test 200 rows" in out


def test_inspect_names_the_shard_that_was_changed(
    small_dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(capsys, "prepare", "synthetic", str(tmp_path / "d"), "--rows", "2000")
    shard = tmp_path / "d" / "valid" / "00000.arrow"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    status, _, err = _run(capsys, "inspect", str(tmp_path / "d"))
    assert status == 1
    assert err.startswith("error: ")
    assert str(shard) in err
    assert err.count("\n") == 1


def test_fit_writes_parameters_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(size, 0.4 + 2 * size**-0.5 + 1e-4 * (-1) ** size) for size in range(1, 31)]
    (tmp_path / "sizes.csv").write_text("size,loss\n" + "".join(f"{size},{loss}\n" for size, loss in rows))
    columns = ("--law", "power_law", "--x", "size", "--y", "loss")
    options = ("--loss", "huber", "--delta", "1e-3", "--bootstrap", "200", "--json", str(tmp_path / "fit.json"))
    status, out, err = _run(capsys, "fit", str(tmp_path / "sizes.csv"), *columns, *options)
    assert (status, err) == (0, "")
    found = json.loads((tmp_path / "fit.json").read_text())
    assert found["converged"]
    assert (found["rows"], found["loss"], found["delta"], found["bootstrap"]) == (30, "huber", 1e-3, 200)
    for name, value in (("floor", 0.4), ("amplitude", 2.0), ("exponent", 0.5)):
        item = found["parameters"][name]
        assert item["low"] < value < item["high"]
        assert item["value"] == pytest.approx(value, rel=1e-2)
        assert f"{name} = {item['value']:.6g}" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prepare", "criteo", "absent.txt", "d"), "absent.txt"),
        (("prepare", "table", "clicks.csv", "d"), "label"),
        (("prepare", "table", "clicks.csv", "d", "extra", "--label", "clicked"), "got 3 paths, expected SRC DEST"),
        (("prepare", "table", "clicks.csv", "/proc/d", "--label", "clicked"), "/proc"),
        (("inspect", "absent"), "absent is not a prepared dataset"),
        (("inspect", "s4://bucket/d"), "got the scheme 's4', expected a local path, s3:// or gs://"),
        (("prepare", "table", "clicks.csv", "s3:/bucket/d", "--label", "clicked"), "expected s3://BUCKET/PATH"),
        (("report", "quick", "--figures", "s3://bucket/f"), "expected a local folder"),
        (("status", "quick", "--storage", "s3://bucket/d?scheme2=x"), "got the parameter 'scheme2'"),
        (("status", "absent"), "no study 'absent'"),
        (("report", "absent"), "no study 'absent'"),
        (("sync", "absent"), "no study 'absent'"),
        (("reproduce", "table1", "--data", "absent"), "absent is not a prepared dataset"),
        (("reproduce", "table1", "--data", "absent", "--families", "fm"), "Table 1 has no family 'fm'"),
        (("reproduce", "table1", "--data", "absent", "--scales", "5"), "Table 1 has no scale 5"),
        (("seeds-needed", "absent", "--effect", "2e-4"), "no study 'absent'"),
        (("fit", "clicks.csv", "--law", "bent", "--x", "clicked", "--y", "clicked"), "no law is called 'bent'"),
        (("fit", "clicks.csv", "--law", "constant", "--x", "absent", "--y", "clicked"), "no column 'absent'"),
        (("fit", "clicks.csv", "--law", "constant", "--x", "user", "--y", "clicked"), "column 'user' holds 'u0'"),
        (("fit", "absent.csv", "--law", "constant", "--x", "a", "--y", "b"), "there is no file absent.csv"),
    ],
)
def test_bad_input_is_one_line_and_status_1(
    arguments: tuple[str, ...],
    message: str,
    clicks: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(clicks.parent)
    status, out, err = _run(capsys, *arguments)
    assert (status, out) == (1, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert [path.name for path in clicks.parent.iterdir()] == ["clicks.csv"]


def test_table_1_is_refused_for_other_data_and_planned_against_any(
    small_dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    command = ("reproduce", "table1", "--data", str(small_dataset.path), "--storage", str(tmp_path / "runs"), "--plan")
    status, out, err = _run(capsys, *command)
    assert (status, out) == (1, "")
    assert "was prepared as 'synthetic'" in err
    status, out, _ = _run(capsys, *command, "--against", "avazu", "--families", "dnn", "--scales", "1", "2")
    assert status == 0
    assert "9 trials, 0 finished" in out
    assert not (tmp_path / "runs").exists()


def test_help_says_what_there_is_and_nothing_else(tmp_path: Path) -> None:
    shown = _recscale("prepare", "table", "--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert "--drop-duplicates" in shown.stdout
    assert shown.stderr == ""


def test_a_wrong_flag_is_a_usage_error(tmp_path: Path) -> None:
    assert _recscale("status", "--colour", cwd=tmp_path).returncode == 2
