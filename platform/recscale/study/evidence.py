"""The tables that weigh a study's answer: does IA predict quality, equal budgets, and ensembles as a control."""

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from recscale.records import to_plain
from recscale.storage.location import Location, write_atomic
from recscale.study.associations import study_associations
from recscale.study.curves import Finished
from recscale.study.ensembles import ensembles_table
from recscale.study.equal_budget import equal_budget_table
from recscale.study.study import Study


def write_evidence(study: Study, finished: Sequence[Finished]) -> tuple[Location, ...]:
    """Writes associations.json, equal_budget.parquet and ensembles.parquet into the study's folder; their paths."""
    folder, groups = study.folder, study.spec.groups
    associations = json.dumps(to_plain(study_associations(finished, groups)), indent=1, allow_nan=False)
    write_atomic(folder / "associations.json", associations.encode() + b"\n")
    tables = {
        "equal_budget.parquet": equal_budget_table(finished, groups),
        "ensembles.parquet": ensembles_table(study.store, finished, groups),
    }
    for name, table in tables.items():
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        write_atomic(folder / name, sink.getvalue().to_pybytes())
    return tuple(folder / name for name in ("associations.json", *tables))
