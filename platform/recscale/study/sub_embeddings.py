"""The sub-embeddings of a study: those of the first seed of every cell, with the trial's axes in front."""

import pyarrow as pa

from recscale.collapse.measurement import SUB_EMBEDDINGS_SCHEMA
from recscale.study.store import TrialStatus, TrialStore


def study_sub_embeddings(axes: pa.Table, store: TrialStore) -> pa.Table:
    """Abundance per set and pair of fields; `axes` has one row per trial, trial_id and seed among its columns."""
    schema = pa.schema([*axes.schema, *SUB_EMBEDDINGS_SCHEMA])
    standing = store.statuses(axes["trial_id"].to_pylist())
    finished = [trial for trial in axes.to_pylist() if standing[trial["trial_id"]] is TrialStatus.FINISHED]
    first_seed = min((trial["seed"] for trial in finished), default=0)
    parts = [schema.empty_table()]
    for trial in finished:
        measured = store.read_sub_embeddings(trial["trial_id"]) if trial["seed"] == first_seed else None
        if measured is not None:
            repeated = [pa.array([trial[name]] * measured.num_rows, axes.schema.field(name).type) for name in trial]
            parts.append(pa.table([*repeated, *measured.columns], schema=schema))
    return pa.concat_tables(parts)
