"""What a study says of sizes that it has not run, what a gain needs, the Pareto front, and arms paired row by row."""

from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa

from recscale.curves.forecast import Forecast, Gain
from recscale.errors import DataError
from recscale.records import from_json
from recscale.storage.location import Location, read_parquet

Row = TypeVar("Row")


@dataclass(frozen=True)
class ForecastRow:
    """One curve at a multiple of its largest scale."""

    family: str
    """Family of the model."""
    variant: str
    """paper | fair."""
    arm: str
    """SE | ME."""
    metric: str
    """Name of the metric."""
    times: float
    """Multiple of the largest observed scale."""
    forecast: Forecast
    """The metric there."""
    gain: Gain
    """What going there from the largest observed scale brings."""


@dataclass(frozen=True)
class NeedRow:
    """What one arm needs for a gain over the single-embedding base."""

    gain: float
    """Gain of AUC that is asked for."""
    sentence: str
    """The answer in words."""


@dataclass(frozen=True)
class Forecasts:
    """What the page shows of forecasts.json."""

    forecasts: tuple[ForecastRow, ...]
    """Every fitted curve at multiples of its largest scale."""
    needs: tuple[NeedRow, ...]
    """What gains of AUC need."""


@dataclass(frozen=True)
class ParetoRow:
    """One cell against one cost."""

    family: str
    """Family of the model."""
    variant: str
    """paper | fair."""
    arm: str
    """SE | ME."""
    scale: float
    """Its scale."""
    num_sets: int
    """Its sets."""
    metric: str
    """Quality that is weighed."""
    quality: float
    """Mean over seeds."""
    cost_name: str
    """Cost that is weighed."""
    cost: float
    """Mean over seeds."""
    on_front: bool
    """Whether no cell of the study is both cheaper and better."""


@dataclass(frozen=True)
class PairedRow:
    """Multi- against single-embedding at one scale, on the same test rows."""

    family: str
    """Family of the model."""
    variant: str
    """paper | fair."""
    scale: float
    """Scale of both."""
    num_sets: int
    """Sets of multi-embedding."""
    metric: str
    """Quality that is compared."""
    value: float
    """Multi minus single, mean over seeds."""
    low: float | None
    """Lower end of the interval."""
    high: float | None
    """Upper end of the interval."""
    seeds: int
    """Seeds that both have."""
    p_value: float | None
    """Two-sided, of this cell alone."""
    p_holm: float | None
    """Corrected over all cells of the study."""
    p_better: float | None
    """Probability that multi-embedding is the better one."""


@dataclass(frozen=True)
class Outlook:
    """None stands for a file that has not been written."""

    forecasts: Forecasts | None = None
    """Beyond the grid."""
    pareto: tuple[ParetoRow, ...] | None = None
    """Cost against quality."""
    paired: tuple[PairedRow, ...] | None = None
    """Arms on the same rows."""


def load_outlook(study_folder: Location) -> Outlook:
    """Reads what there is of the three files; DataError where one is broken."""
    forecasts, pareto, paired = (study_folder / name for name in ("forecasts.json", "pareto.parquet", "paired.parquet"))
    return Outlook(
        forecasts=from_json(Forecasts, forecasts.read_bytes(), str(forecasts)) if forecasts.is_file() else None,
        pareto=_rows(pareto, ParetoRow) if pareto.is_file() else None,
        paired=_rows(paired, PairedRow) if paired.is_file() else None,
    )


def _rows(path: Location, kind: type[Row]) -> tuple[Row, ...]:
    """The columns of `kind`, row by row; NaN becomes None; DataError where the file lacks one or cannot be read."""
    names = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    try:
        plain: list[dict[str, Any]] = read_parquet(path, columns=names).to_pylist()
        return tuple(kind(**{name: _known(row[name]) for name in names}) for row in plain)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read ({error}); `recscale report` writes it again") from error


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value
