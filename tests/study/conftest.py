"""Stored trials made without training, and a small study of them."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from recscale.collapse.measurement import spectra_table
from recscale.collapse.subembeddings import measure_sub_embeddings, sub_embeddings_table
from recscale.collapse.tables import measure_tables
from recscale.data.reader import Dataset
from recscale.models.accounting import account
from recscale.models.model import MultiEmbeddingModel
from recscale.records import (
    Evaluation,
    Metrics,
    ModelSettings,
    StudySpec,
    TrainSpec,
    TrialResult,
    TrialSpec,
    Variant,
)
from recscale.study.grid import Grid, resolve
from recscale.study.store import TrialStore
from recscale.study.study import Study
from recscale.training.membership import member_sample
from recscale.training.trained import TrainedTrial

GRID = Grid(
    families=("dnn", "dcnv2"),
    scales=(1.0, 2.0, 4.0),
    sets=("1", "scale"),
    seeds=2,
    variant=Variant.FAIR,
    base_dim=4,
    model=ModelSettings(hidden_sizes=(8, 8)),
    train=TrainSpec(batch_size=256, max_epochs=1),
)


@pytest.fixture
def grid() -> Grid:
    """Two families, three scales, both arms, two seeds."""
    return GRID


@pytest.fixture
def finish(small_dataset: Dataset) -> Callable[[TrialStore, TrialSpec], TrialResult]:
    """Writes a finished trial whose AUC grows with scale and sets."""

    def write(store: TrialStore, spec: TrialSpec) -> TrialResult:
        trained = _trained(spec, small_dataset)
        store.write_spec(spec)
        store.write_finished(trained)
        return trained.result

    return write


@pytest.fixture
def study(tmp_path: Path, small_dataset: Dataset, grid: Grid) -> Study:
    """The study of the grid, nothing of it run."""
    trials = resolve(grid, small_dataset.manifest.fingerprint).trials
    costs = tuple(account(spec.model, spec.train, small_dataset.manifest.vocabulary_sizes) for spec in trials)
    spec = StudySpec("quick", "scaling", small_dataset.ref(), trials)
    return Study(spec, costs, (), (("command", "made by a test"),), str(tmp_path))


@cache
def _trained(spec: TrialSpec, dataset: Dataset) -> TrainedTrial:
    """Measured once per spec: studies of many tests are of the same trials."""
    sizes = dataset.manifest.vocabulary_sizes
    model = MultiEmbeddingModel(spec.model, sizes)
    measured = measure_tables(model.tables.weight, sizes, spec.model.num_sets, dataset.counts())
    auc = 0.7 + 0.01 * np.log(spec.model.scale) + 0.005 * (spec.model.num_sets > 1) + 0.001 * spec.seed
    metrics = Metrics(auc=float(auc), log_loss=0.5, normalized_entropy=0.9, calibration=1.0)
    first = Evaluation(0, 0.0, None, replace(metrics, auc=0.5), measured.summary())
    last = Evaluation(19, 1.0, 0.6, metrics, measured.summary())
    cost = account(spec.model, spec.train, sizes)
    names = [field.name for field in dataset.manifest.fields]
    result = TrialResult(
        trial_id=spec.trial_id,
        valid=metrics,
        test=metrics,
        collapse=measured.summary(),
        best_step=19,
        steps=19,
        history=(first, last),
        embed_dim=spec.model.embed_dim,
        table_params=cost.table_params,
        dense_params=cost.dense_params,
        flops_per_sample=cost.flops_per_sample,
        samples_per_second=1000.0,
        seconds=5.0,
        peak_memory_bytes=1 << 20,
        device="cpu",
    )
    spectra = spectra_table([("initial", 0, measured), ("best", 19, measured)], names)
    test, members = (
        dataset.split("test").labels(),
        member_sample(dataset.split("train"), dataset.split("test")).labels(),
    )
    zeros = np.zeros(len(test), np.float32)
    blocks = model.interaction.cross_blocks()
    shown = (
        None
        if blocks is None
        else measure_sub_embeddings(model.tables.weight.detach(), model.tables.num_sets, sizes, blocks)
    )
    sub_embeddings = None if shown is None else sub_embeddings_table(shown, names)
    return TrainedTrial(result, spectra, zeros, test, zeros[: len(members)], members, sub_embeddings)
