"""What weighs a study's answer, as its page reads it: associations.json, equal_budget.parquet, ensembles.parquet."""

from dataclasses import dataclass, fields
from typing import Any, TypeVar

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from recscale.curves.ensembles import EnsembleCell
from recscale.curves.equal_budget import BudgetAxis, Comparison
from recscale.curves.prediction import ArmAssociations
from recscale.errors import DataError
from recscale.records import from_json
from recscale.storage.location import Location, read_parquet

Row = TypeVar("Row")


@dataclass(frozen=True)
class BudgetCell:
    """One multi-embedding cell against single-embedding of the same size on one axis."""

    family: str
    """Family of the model, with the settings in which its trials differ."""
    variant: str
    """paper | fair."""
    metric: str
    """The metric."""
    axis: BudgetAxis
    """What both have as much of."""
    scale: float
    """Scale of the multi-embedding cell."""
    num_sets: int
    """Its embedding sets M."""
    comparison: Comparison
    """What came out."""


@dataclass(frozen=True)
class Evidence:
    """None stands for a file that has not been written."""

    associations: tuple[ArmAssociations, ...] | None = None
    """Collapse metrics against quality, per family and arm."""
    budgets: tuple[BudgetCell, ...] | None = None
    """Multi- against single-embedding at equal budget."""
    ensembles: tuple[EnsembleCell, ...] | None = None
    """Ensembles of base models."""


def load_evidence(study_folder: Location) -> Evidence:
    """Reads what there is of the three files; DataError where one is broken."""
    associations, budgets, ensembles = (
        study_folder / name for name in ("associations.json", "equal_budget.parquet", "ensembles.parquet")
    )
    return Evidence(
        associations=_associations(associations) if associations.is_file() else None,
        budgets=_records(budgets, BudgetCell, _nested) if budgets.is_file() else None,
        ensembles=_records(ensembles, EnsembleCell, dict) if ensembles.is_file() else None,
    )


def _associations(path: Location) -> tuple[ArmAssociations, ...]:
    found: tuple[ArmAssociations, ...] = from_json(tuple[ArmAssociations, ...], path.read_bytes(), str(path))
    return found


def _records(path: Location, kind: type[Row], shape: Any) -> tuple[Row, ...]:
    """The rows of a Parquet file as records; DataError where it cannot be read or a column does not fit."""
    try:
        rows = [shape(row) for row in read_parquet(path).to_pylist()]
        return tuple(TypeAdapter(list[kind]).validate_python(rows))  # type: ignore[valid-type]
    except (OSError, pa.ArrowException, KeyError, ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path} cannot be read as {kind.__name__} rows ({reason}); write it with `recscale report`"
        ) from error


def _nested(row: dict[str, Any]) -> dict[str, Any]:
    """A flat row of equal_budget.parquet with the fields of its comparison by themselves."""
    inner = {field.name: row[field.name] for field in fields(Comparison)}
    return {**{name: value for name, value in row.items() if name not in inner}, "comparison": inner}
