"""What is asked of a cluster before anything is run on it."""

from dataclasses import replace
from pathlib import Path

import pytest

from recscale.cluster.environment import WORKERS, for_workers
from recscale.cluster.launch import LaunchOptions, left_to_run, plan_trials, size_trials
from recscale.cluster.shares import ClusterInfo, NodeShape, Share
from recscale.cluster.sizing import larger_share
from recscale.data.reader import Dataset
from recscale.errors import ConfigError
from recscale.records import ModelSpec, Penalty, Precision, TrainSpec, TrialSpec
from recscale.study.grid import ResolvedGrid

NO_GPU = ClusterInfo(2, 0, 1, "here", True, (NodeShape(2, 0),))


def test_a_share_that_fits_nowhere_is_refused_where_trials_are_to_run_and_only_there(
    small_dataset: Dataset, tmp_path: Path
) -> None:
    model = ModelSpec("dnn", base_dim=4, hidden_sizes=(8, 8))
    resolved = ResolvedGrid((TrialSpec(small_dataset.manifest.fingerprint, model, TrainSpec(), seed=0),), ())
    options = LaunchOptions(storage=str(tmp_path), gpus_per_trial=1)
    plan, share = plan_trials(resolved, small_dataset, options, NO_GPU, todo=False)
    assert (len(plan.trials), share.gpus) == (1, 1)
    with pytest.raises(ConfigError, match="GPU"):
        plan_trials(resolved, small_dataset, options, NO_GPU, todo=True)


def test_on_gpus_each_trial_holds_what_it_needs_unless_told(
    small_dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ModelSpec("dnn", base_dim=4, hidden_sizes=(8, 8))
    resolved = ResolvedGrid((TrialSpec(small_dataset.manifest.fingerprint, model, TrainSpec(), seed=0),), ())

    def share(accelerator: str, **options: float) -> Share:
        info = ClusterInfo(8, 2, 1, "here:1", False, (NodeShape(8, 2, accelerator),))
        sized = size_trials(resolved, small_dataset, LaunchOptions(str(tmp_path), **options), info, todo=True)
        (own,) = sized.shares.values()
        assert own.larger == larger_share(own.first, resolved.trials[0], small_dataset.manifest, info)
        return own.first

    assert share("A10G") == Share(gpus=1 / 8)
    assert share("A10G", gpus_per_trial=0.3) == Share(gpus=0.3)
    assert share("A10G", gpu_memory=2.5) == Share(gpus=1 / 2)
    assert share("", gpu_memory=80, cpus_per_trial=2) == Share(cpus=2, gpus=1 / 8)
    assert "not known" not in capsys.readouterr().out
    assert share("") == Share(gpus=1)
    assert "--gpu-memory GIB" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"dnn scale=1 sets=1: needs 1.0 GiB .* but a GPU has 0.5 GiB"):
        share("", gpu_memory=0.5)
    with pytest.raises(ConfigError, match="gpu_memory is -1 GiB"):
        share("", gpu_memory=-1)


def test_where_nothing_is_to_run_the_machine_is_not_measured(
    small_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recscale.study.rates.measure_machine", lambda *_: pytest.fail("the machine was measured"))
    model, train = ModelSpec("dnn", base_dim=4, hidden_sizes=(8, 8)), TrainSpec(precision=Precision.BF16)
    resolved = ResolvedGrid((TrialSpec(small_dataset.manifest.fingerprint, model, train, seed=0),), ())
    unknown_gpu = ClusterInfo(8, 1, 1, "here:1", False, (NodeShape(8, 1, ""),))
    for info, options in ((NO_GPU, {}), (unknown_gpu, {"gpu_memory": 80.0})):
        sized = size_trials(resolved, small_dataset, LaunchOptions(str(tmp_path), **options), info, todo=False)
        assert (len(sized.plan.trials), sized.plan.warnings) == (1, ())


def test_what_is_refused_for_its_settings_is_not_left_to_run(small_dataset: Dataset, tmp_path: Path) -> None:
    """Else a study with such a point would start Ray each time, to train nothing."""
    model = ModelSpec("dnn", base_dim=4, hidden_sizes=(8, 8))
    good = TrialSpec(small_dataset.manifest.fingerprint, model, TrainSpec(), seed=0)
    refused = replace(good, train=replace(good.train, penalty=Penalty.PATTERN_ALIGNMENT))
    assert left_to_run(ResolvedGrid((refused, good), ()), small_dataset, tmp_path)
    assert not left_to_run(ResolvedGrid((refused,), ()), small_dataset, tmp_path)
    assert not left_to_run(ResolvedGrid((), ()), small_dataset, tmp_path)
    plan, _ = plan_trials(ResolvedGrid((refused, good), ()), small_dataset, LaunchOptions(str(tmp_path)), NO_GPU, False)
    assert [trial.spec for trial in plan.trials] == [good]


def test_workers_of_a_joined_cluster_keep_what_a_job_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WORKERS:
        monkeypatch.delenv(name, raising=False)
    assert for_workers() == WORKERS
    monkeypatch.setenv("GOMP_SPINCOUNT", "0")
    assert for_workers() == {name: value for name, value in WORKERS.items() if name != "GOMP_SPINCOUNT"}
