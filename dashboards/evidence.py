"""What weighs a study's answer, as its page reads it: associations.json, equal_budget.parquet, ensembles.parquet."""

from dataclasses import dataclass, fields
from typing import Any

from dashboards.rows import rows_if_there
from recscale.curves.ensembles import EnsembleCell
from recscale.curves.equal_budget import BudgetAxis, Comparison
from recscale.curves.prediction import ArmAssociations
from recscale.records import from_json
from recscale.storage.location import Location


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
        budgets=rows_if_there(budgets, BudgetCell, _nested),
        ensembles=rows_if_there(ensembles, EnsembleCell),
    )


def _associations(path: Location) -> tuple[ArmAssociations, ...]:
    found: tuple[ArmAssociations, ...] = from_json(tuple[ArmAssociations, ...], path.read_bytes(), str(path))
    return found


def _nested(row: dict[str, Any]) -> dict[str, Any]:
    """A flat row of equal_budget.parquet with the fields of its comparison by themselves."""
    inner = {field.name: row[field.name] for field in fields(Comparison) if field.name in row}
    return {**{name: value for name, value in row.items() if name not in inner}, "comparison": inner}
