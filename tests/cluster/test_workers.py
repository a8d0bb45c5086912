"""One trial over several workers of a real Ray Train run: what it leaves in the store is what one worker leaves."""

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import ray.train
import torch
from ray import cloudpickle

from recscale.cluster.executors import run_jobs
from recscale.cluster.jobs import TrialJob
from recscale.cluster.shares import ClusterInfo, Executor, Share
from recscale.cluster.worker import train_trial
from recscale.data.reader import Dataset
from recscale.records import ModelSpec, Parallel, TableOptimizer, TrainSpec, TrialSpec
from recscale.study.store import TrialStore
from recscale.study.trial import run_trial
from recscale.training.checkpoints import Checkpoints, FolderCheckpoints, State

cloudpickle.register_pickle_by_value(sys.modules[__name__])

MODEL = ModelSpec("dcnv2", scale=4.0, num_sets=4, base_dim=4, hidden_sizes=(16, 8), cross_layers=2, dropout=0.0)
STEPS = 20
TRAIN = TrainSpec(
    batch_size=240, max_epochs=1, evaluations_per_epoch=STEPS, learning_rate=3e-4, weight_decay=1e-2, patience=99
)
"""An evaluation after every step, so that the history holds the loss of each."""

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@dataclass
class DyingOnce:
    """Checkpoints of a worker that is killed after its third is kept, unless that has happened before."""

    kept: Checkpoints
    """Where they are kept."""
    mark: Path
    """A file that says that it has happened."""
    saved: int = 0
    """How many were kept."""

    def load(self) -> State | None:
        return self.kept.load()

    def save(self, state: State) -> None:
        self.kept.save(state)
        self.saved += 1
        if self.saved == 3 and not self.mark.exists() and ray.train.get_context().get_world_rank() == 1:
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def killed_once(job: TrialJob, checkpoints: Checkpoints) -> Mapping[str, str]:
    """Training whose second worker dies."""
    return train_trial(job, DyingOnce(checkpoints, Path(job.storage) / "killed"))


def run_by_workers(spec: TrialSpec, dataset: Dataset, share: Share, info: ClusterInfo, storage: Path, work=train_trial):
    """The trial through Ray Train; its store."""
    job = TrialJob(spec, str(dataset.path), str(storage), share)
    storage.mkdir()
    ended = list(run_jobs([job], Executor.TRAIN, info, max_retries=1, work=work))[-1]
    assert ended.error is None, ended.error
    return TrialStore(storage)


def numbers(table: pa.Table) -> np.ndarray:
    """Every number of a table as one array; spectra flat."""
    columns = [table[name].combine_chunks() for name in table.schema.names]
    flat = [column.flatten() if pa.types.is_list(column.type) else column for column in columns]
    kept = [c for c in flat if pa.types.is_floating(c.type) or pa.types.is_integer(c.type)]
    return np.concatenate([np.nan_to_num(c.to_numpy(zero_copy_only=False).astype(np.float64)) for c in kept])


@pytest.mark.parametrize(
    ("workers", "parallel", "optimizer"),
    [
        (2, Parallel.DATA, TableOptimizer.DEFERRED_ADAM),
        (2, Parallel.SETS, TableOptimizer.LAZY_ADAM),
        (2, Parallel.ROWS, TableOptimizer.DEFERRED_ADAM),
        (4, Parallel.DATA, TableOptimizer.ADAM),
        (4, Parallel.SETS, TableOptimizer.ROWWISE_ADAGRAD),
    ],
)
def test_a_trial_by_several_workers_is_the_trial_by_one(
    workers: int,
    parallel: Parallel,
    optimizer: TableOptimizer,
    embedded_cluster: ClusterInfo,
    small_dataset: Dataset,
    tmp_path: Path,
) -> None:
    spec = TrialSpec(small_dataset.manifest.fingerprint, MODEL, replace(TRAIN, table_optimizer=optimizer), seed=0)
    share = Share(cpus=2 / workers, workers=workers, parallel=parallel)
    found = run_by_workers(spec, small_dataset, share, embedded_cluster, tmp_path / "several")
    alone = TrialStore(tmp_path / "one")
    run_trial(
        spec, str(small_dataset.path), str(alone.storage), FolderCheckpoints(tmp_path / "ck"), torch.device("cpu")
    )

    ours, theirs = found.read_result(spec.trial_id), alone.read_result(spec.trial_id)
    assert len(ours.history) == STEPS + 1
    losses = [look.train_loss for look in theirs.history[1:]]
    assert [look.train_loss for look in ours.history[1:]] == pytest.approx(losses, abs=1e-5)
    same = ("trial_id", "steps", "embed_dim", "table_params", "dense_params", "flops_per_sample")
    assert [getattr(ours, name) for name in same] == [getattr(theirs, name) for name in same]
    assert ours.test.log_loss == pytest.approx(theirs.test.log_loss, abs=1e-3)

    several, one = (store.read_predictions(spec.trial_id) for store in (found, alone))
    assert several["label"].equals(one["label"])
    assert np.allclose(several["logit"], one["logit"], atol=1e-2), "running means drift by rounding"
    assert found.read_train_predictions(spec.trial_id) is not None
    for read in (TrialStore.read_spectra, TrialStore.read_sub_embeddings):
        several, one = read(found, spec.trial_id), read(alone, spec.trial_id)
        assert several is not None
        assert one is not None
        assert several.schema == one.schema
        assert np.allclose(numbers(several), numbers(one), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("parallel", [Parallel.DATA, Parallel.SETS])
def test_a_worker_that_dies_costs_nothing_but_time(
    parallel: Parallel, embedded_cluster: ClusterInfo, small_dataset: Dataset, tmp_path: Path
) -> None:
    """With dropout, whose draws have to be those of a run that was left alone."""
    model, train = replace(MODEL, dropout=0.3), replace(TRAIN, evaluations_per_epoch=6)
    spec = TrialSpec(small_dataset.manifest.fingerprint, model, train, seed=0)
    share = Share(workers=2, parallel=parallel)
    whole = run_by_workers(spec, small_dataset, share, embedded_cluster, tmp_path / "whole")
    cut = run_by_workers(spec, small_dataset, share, embedded_cluster, tmp_path / "cut", killed_once)
    assert (tmp_path / "cut" / "killed").exists()
    assert whole.read_predictions(spec.trial_id).equals(cut.read_predictions(spec.trial_id))
    assert whole.read_spectra(spec.trial_id).equals(cut.read_spectra(spec.trial_id))
    assert whole.read_result(spec.trial_id).history == cut.read_result(spec.trial_id).history
