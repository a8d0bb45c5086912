"""Evidence is read as it was written, absent where it is absent, and refused where it is broken."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dashboards.evidence import Evidence, load_evidence
from recscale.curves.equal_budget import BudgetAxis
from recscale.errors import DataError


@pytest.fixture
def copied(study_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(study_folder, tmp_path / "copy"))


def test_every_row_is_read(study_folder, results):
    budgets = pq.read_table(study_folder / "equal_budget.parquet").to_pylist()
    assert [cell.comparison.value for cell in results.evidence.budgets] == [row["value"] for row in budgets]
    assert {cell.axis for cell in results.evidence.budgets} == set(BudgetAxis)
    ensembles = pq.read_table(study_folder / "ensembles.parquet").to_pylist()
    assert [cell.mean for cell in results.evidence.ensembles] == [row["mean"] for row in ensembles]
    assert results.evidence.ensembles[0].trial_ids == tuple(ensembles[0]["trial_ids"])
    associations = json.loads((study_folder / "associations.json").read_text())
    assert [group.sentence for group in results.evidence.associations] == [group["sentence"] for group in associations]


def test_absent_files_are_none(tmp_path):
    assert load_evidence(tmp_path) == Evidence(None, None, None)


@pytest.mark.parametrize("name", ["associations.json", "equal_budget.parquet", "ensembles.parquet"])
def test_a_broken_file_is_named(copied, name):
    (copied / name).write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match=name):
        load_evidence(copied)


@pytest.mark.parametrize(("name", "column"), [("equal_budget.parquet", "level"), ("ensembles.parquet", "members")])
def test_an_absent_column_is_one_line(copied, name, column):
    table = pq.read_table(copied / name)
    pq.write_table(table.drop_columns([column]), copied / name)
    with pytest.raises(DataError, match=f"does not hold .*{column}") as refused:
        load_evidence(copied)
    assert "\n" not in str(refused.value)
    pq.write_table(table.set_column(0, table.column_names[0], pa.array(range(table.num_rows))), copied / name)
    with pytest.raises(DataError, match=table.column_names[0]):
        load_evidence(copied)
