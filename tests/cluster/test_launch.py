"""What is asked of a cluster before anything is run on it."""

from pathlib import Path

import pytest

from recscale.cluster.environment import WORKERS, for_workers
from recscale.cluster.launch import LaunchOptions, plan_trials
from recscale.cluster.shares import ClusterInfo, NodeShape
from recscale.data.reader import Dataset
from recscale.errors import ConfigError
from recscale.records import ModelSpec, TrainSpec, TrialSpec
from recscale.study.grid import ResolvedGrid

NO_GPU = ClusterInfo(2, 0, 1, "here", True, (NodeShape(2, 0),))


def test_a_share_that_fits_nowhere_is_refused_where_trials_are_to_run_and_only_there(
    small_dataset: Dataset, tmp_path: Path
) -> None:
    model = ModelSpec("dnn", base_dim=4, hidden_sizes=(8, 8))
    resolved = ResolvedGrid((TrialSpec(small_dataset.manifest.fingerprint, model, TrainSpec(), seed=0),), ())
    options = LaunchOptions(storage=str(tmp_path), gpus_per_trial=1)
    plan, share = plan_trials(resolved, small_dataset, options, NO_GPU, todo=0)
    assert (len(plan.trials), share.gpus) == (1, 1)
    with pytest.raises(ConfigError, match="GPU"):
        plan_trials(resolved, small_dataset, options, NO_GPU, todo=1)


def test_workers_of_a_joined_cluster_keep_what_a_job_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WORKERS:
        monkeypatch.delenv(name, raising=False)
    assert for_workers() == WORKERS
    monkeypatch.setenv("GOMP_SPINCOUNT", "0")
    assert for_workers() == {name: value for name, value in WORKERS.items() if name != "GOMP_SPINCOUNT"}
