"""The outputs of a study: tables, curves, spectra and provenance, written from the trial store into its folder."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from recscale.collapse.measurement import SPECTRA_SCHEMA
from recscale.records import ModelCost, ModelSpec, TrainSpec, TrialResult, TrialSpec, to_plain
from recscale.storage.location import Location, write_atomic
from recscale.study.curves import judge_families, study_curves
from recscale.study.evidence import write_evidence
from recscale.study.files import write_json, write_parquet
from recscale.study.forecasts import study_forecasts
from recscale.study.history import training_table
from recscale.study.noise import eval_noise
from recscale.study.paired import write_paired
from recscale.study.pareto import pareto_table
from recscale.study.store import TrialStatus
from recscale.study.study import Study
from recscale.study.sub_embeddings import study_sub_embeddings

TRIALS_SCHEMA = pa.schema(
    [
        ("trial_id", pa.string()),
        ("status", pa.string()),
        ("family", pa.string()),
        ("variant", pa.string()),
        ("arm", pa.string()),
        ("scale", pa.float64()),
        ("num_sets", pa.int64()),
        ("seed", pa.int64()),
        ("embed_dim", pa.int64()),
        ("table_params", pa.int64()),
        ("dense_params", pa.int64()),
        ("flops_per_sample", pa.int64()),
        ("valid_auc", pa.float64()),
        ("test_auc", pa.float64()),
        ("test_log_loss", pa.float64()),
        ("test_normalized_entropy", pa.float64()),
        ("test_calibration", pa.float64()),
        ("best_epoch", pa.float64()),
        ("ia_mean", pa.float64()),
        ("ia_ratio_mean", pa.float64()),
        ("ia_concat_ratio_mean", pa.float64()),
        ("weighted_ia_ratio_mean", pa.float64()),
        ("weighted_ia_concat_ratio_mean", pa.float64()),
        ("effective_rank_mean", pa.float64()),
        ("stable_rank_mean", pa.float64()),
        ("participation_ratio_mean", pa.float64()),
        ("set_diversity_mean", pa.float64()),
        ("samples_per_second", pa.float64()),
        ("seconds", pa.float64()),
        ("peak_memory_bytes", pa.int64()),
        ("error", pa.string()),
    ]
)
"""Columns of trials.parquet and trials.csv; before `error` come a further column per further axis of the grid and,
where the study has groups, `settings`: the names of the trial's groups, joined by +."""

SPECTRA_AXES = [TRIALS_SCHEMA.field(name) for name in ("trial_id", "family", "arm", "scale", "num_sets", "seed")]
SPECTRA_TABLE = pa.schema([*SPECTRA_AXES, *SPECTRA_SCHEMA])
"""Columns of spectra.parquet: a trial's axes, then those of its spectra.arrow."""

OUTPUTS = (
    "trials.parquet",
    "trials.csv",
    "curves.json",
    "forecasts.json",
    "pareto.parquet",
    "paired.parquet",
    "spectra.parquet",
    "training.parquet",
    "sub_embeddings.parquet",
    "provenance.json",
    "associations.json",
    "equal_budget.parquet",
    "ensembles.parquet",
)
"""Every file of results, as `write_results` leaves them."""

SPECTRA_MOMENTS = ("initial", "best")
"""Moments of a trial that spectra.parquet keeps; its own spectra.arrow in the store has them all."""


def write_results(study: Study) -> tuple[Location, ...]:
    """Writes every table of the study from what the store holds now; the paths written, trials.parquet first."""
    folder = study.folder
    trials, results = trials_table(study)
    sink = pa.BufferOutputStream()
    pq.write_table(trials, sink)
    write_atomic(folder / "trials.parquet", sink.getvalue().to_pybytes())
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(trials, sink)
    write_atomic(folder / "trials.csv", sink.getvalue().to_pybytes())
    finished = [(spec, results[spec.trial_id]) for spec in study.spec.trials if spec.trial_id in results]
    groups = study.spec.groups
    fitted = study_curves(finished, groups, eval_noise(study.store))
    curves = {"curves": [item.curve for item in fitted], "verdicts": judge_families(finished, groups)}
    write_json(folder / "curves.json", to_plain(curves))
    write_json(folder / "forecasts.json", to_plain(study_forecasts(finished, fitted, groups)))
    write_parquet(folder / "pareto.parquet", pareto_table(study, results))
    write_paired(study, finished)
    write_parquet(folder / "spectra.parquet", spectra_table(study, [spec for spec, _ in finished]))
    _write_collapse(study, trials, results)
    write_json(folder / "provenance.json", dict(study.provenance))
    write_evidence(study, finished)
    return tuple(folder / name for name in OUTPUTS)


def _write_collapse(study: Study, trials: pa.Table, results: dict[str, TrialResult]) -> None:
    """Writes training.parquet and sub_embeddings.parquet."""
    own = ["trial_id", "family", "variant", "arm", "scale", "num_sets", "seed"]
    further = [name for name in trials.column_names if name not in TRIALS_SCHEMA.names]
    write_parquet(study.folder / "training.parquet", training_table(trials.select([*own, *further]), results))
    write_parquet(study.folder / "sub_embeddings.parquet", study_sub_embeddings(trials.select(own), study.store))


def trials_table(study: Study) -> tuple[pa.Table, dict[str, TrialResult]]:
    """One row per trial with TRIALS_SCHEMA's columns, and the results it was made of by trial id."""
    store = study.store
    axes = further_axes(study.spec.trials)
    standing = store.statuses(spec.trial_id for spec in study.spec.trials)
    results = store.read_results(name for name, status in standing.items() if status is TrialStatus.FINISHED)
    rows = []
    for spec, cost in study.trials:
        status = standing[spec.trial_id]
        row = {**_of_spec(spec, cost, axes), **_of_groups(spec, study), "status": status.value, "error": None}
        if status is TrialStatus.FINISHED:
            row |= _of_result(results[spec.trial_id])
        elif status is TrialStatus.FAILED:
            row["error"] = store.read_error(spec.trial_id)
        rows.append(row)
    extra = [pa.field(axis, pa.string()) for axis in (*axes, *(["settings"] if study.spec.groups else []))]
    schema = pa.schema([*list(TRIALS_SCHEMA)[:-1], *extra, TRIALS_SCHEMA.field("error")])
    return pa.Table.from_pylist(rows, schema=schema), results


def further_axes(trials: Sequence[TrialSpec]) -> tuple[str, ...]:
    """Settings beside the grid's own axes that differ between the trials."""
    own = {*TRIALS_SCHEMA.names, "base_dim"}
    values: dict[str, set[str]] = {}
    for model, train in dict.fromkeys(spec.configuration for spec in trials):
        for name, value in _settings(model, train):
            if name not in own:
                values.setdefault(name, set()).add(value)
    return tuple(name for name, seen in values.items() if len(seen) > 1)


def _settings(model: ModelSpec, train: TrainSpec) -> Iterator[tuple[str, str]]:
    for record in (model, train):
        for name, value in to_plain(record).items():
            yield name, ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _of_spec(spec: TrialSpec, cost: ModelCost, axes: tuple[str, ...]) -> dict[str, Any]:
    model = spec.model
    sizes = {name: getattr(cost, name) for name in ("table_params", "dense_params", "flops_per_sample")}
    settings = dict(_settings(spec.model, spec.train)) if axes else {}
    return {
        "trial_id": spec.trial_id,
        "family": model.family,
        "variant": model.variant.value,
        "arm": model.arm.value,
        "scale": model.scale,
        "num_sets": model.num_sets,
        "seed": spec.seed,
        "embed_dim": model.embed_dim,
        **sizes,
        **{axis: settings[axis] for axis in axes},
    }


def _of_groups(spec: TrialSpec, study: Study) -> dict[str, str]:
    names = [group.name for group in study.spec.groups if spec.trial_id in group.trial_ids]
    return {"settings": "+".join(names)} if study.spec.groups else {}


def _of_result(result: TrialResult) -> dict[str, Any]:
    best = next(look for look in result.history if look.step == result.best_step)
    test = {f"test_{field.name}": getattr(result.test, field.name) for field in dataclasses.fields(result.test)}
    collapse = {field.name: getattr(result.collapse, field.name) for field in dataclasses.fields(result.collapse)}
    costs = {name: getattr(result, name) for name in ("samples_per_second", "seconds", "peak_memory_bytes")}
    return {"valid_auc": result.valid.auc, "best_epoch": best.epoch, **test, **collapse, **costs}


def spectra_table(study: Study, finished: Sequence[TrialSpec]) -> pa.Table:
    """Spectra of the first seed of every cell, at initialisation and of the best weights, with the trial's axes."""
    parts = [SPECTRA_TABLE.empty_table()]
    first_seed = min((spec.seed for spec in finished), default=0)
    for spec in finished:
        if spec.seed == first_seed:
            table = study.store.read_spectra(spec.trial_id)
            kept = table.filter(pa.compute.is_in(table["moment"], pa.array(SPECTRA_MOMENTS)))
            parts.append(_with_axes(kept, spec))
    return pa.concat_tables(parts)


def _with_axes(table: pa.Table, spec: TrialSpec) -> pa.Table:
    model = spec.model
    axes = (spec.trial_id, model.family, model.arm.value, model.scale, model.num_sets, spec.seed)
    columns = [pa.array([value] * table.num_rows, kind.type) for value, kind in zip(axes, SPECTRA_AXES, strict=True)]
    return pa.table([*columns, *table.columns], schema=SPECTRA_TABLE)
