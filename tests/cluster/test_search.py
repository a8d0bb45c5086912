"""A study's search before it starts: what it refuses, and its plan."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from recscale.cluster.launch import LaunchOptions
from recscale.cluster.search import search
from recscale.cluster.shares import ClusterInfo, NodeShape
from recscale.data.reader import Dataset
from recscale.errors import ConfigError
from recscale.records import ModelSettings, TrainSpec, Variant
from recscale.study.grid import Axis, Grid
from recscale.study.search import SearchOptions

GRID = Grid(
    families=("dnn",),
    scales=(1, 2),
    sets=("1", "scale"),
    seeds=2,
    variant=Variant.FAIR,
    base_dim=4,
    model=ModelSettings(hidden_sizes=(8,)),
    train=TrainSpec(batch_size=256, max_epochs=1),
)


@pytest.fixture
def how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LaunchOptions:
    """A plan on this machine."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return LaunchOptions(storage=str(tmp_path / "runs"), plan=True)


def test_a_plan_names_every_cell_and_writes_nothing(
    small_dataset: Dataset, how: LaunchOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    found = search("tune", small_dataset, GRID, SearchOptions(samples=5), how)
    assert (found.missing, found.tuned.cells) == (15, ())
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[1:6] for line in shown[1:4]] == [
        ["dnn", "1", "1", "5", "0"],
        ["dnn", "2", "1", "5", "0"],
        ["dnn", "2", "2", "5", "0"],
    ]
    assert shown[4].startswith("3 cells to tune, 15 samples, 0 done; ")
    assert not Path(how.storage).exists()


def test_samples_hold_what_their_cell_needs_of_a_gpu(
    small_dataset: Dataset, how: LaunchOptions, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small cell's samples share a GPU, a large one's hold it whole, and what needs several is refused by name."""
    cluster = ClusterInfo(16, 2, 1, "head:6379", False, (NodeShape(16, 2),))
    monkeypatch.setattr("recscale.cluster.search.cluster_of", lambda *_, **__: nullcontext(cluster))
    wide = replace(GRID, scales=(1, 8000, 16_000), sets=("1",), base_dim=2)
    search("tune", small_dataset, wide, SearchOptions(samples=5), replace(how, gpu_memory=10.0))
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split()[-4:] == ["at", "once", "each", "holds"]
    assert [line.split(maxsplit=7)[-1] for line in shown[1:3]] == ["16  1 CPU + 0.125 GPU", "2  1 CPU + 1 GPU"]
    assert shown[3].startswith("refused: dnn scale=16000 sets=1: needs 2 x (1 CPU + 1 GPU) rows, but is trained by one")


@pytest.mark.parametrize(
    ("name", "grid", "options", "message"),
    [
        ("a/b", GRID, SearchOptions(), "study name 'a/b' cannot be used"),
        ("tune", GRID, SearchOptions(samples=0), "samples is 0, expected at least 1"),
        ("tune", replace(GRID, seeds=0), SearchOptions(), "seeds is 0, expected at least 1"),
        ("tune", replace(GRID, seeds=2000), SearchOptions(), "search_seed is 1000, expected at least 2000"),
        (
            "tune",
            replace(GRID, axes=(Axis("cross_layers", ("1", "2")),)),
            SearchOptions(),
            "got the axes cross_layers, but a search tunes family x scale x sets",
        ),
        (
            "tune",
            replace(GRID, train=TrainSpec(learning_rate=0.5)),
            SearchOptions(),
            "learning_rate is 0.5, outside learning_rate_range 0.0001 0.01",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_starts(
    name: str, grid: Grid, options: SearchOptions, message: str, small_dataset: Dataset, how: LaunchOptions
) -> None:
    with pytest.raises(ConfigError, match=message):
        search(name, small_dataset, grid, options, replace(how, plan=False))
    assert not Path(how.storage).exists()


def test_a_search_by_several_workers_is_refused(small_dataset: Dataset, how: LaunchOptions) -> None:
    with pytest.raises(ConfigError, match="workers_per_trial is 2, but a search trains each sample by one worker"):
        search("tune", small_dataset, GRID, SearchOptions(), replace(how, workers_per_trial=2))
