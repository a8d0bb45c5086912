"""Fits a law to the columns of a CSV table: what `recscale fit` does."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from recscale.curves.bootstrap import intervals, resample
from recscale.curves.curve import Parameter
from recscale.curves.fitting import Fit, fit
from recscale.curves.laws import Array, law_named
from recscale.curves.losses import Loss, LossKind
from recscale.curves.selection import lack_of
from recscale.errors import ConfigError, DataError


@dataclass(frozen=True)
class TableFit:
    """One law fitted to a table, with its intervals."""

    law: str
    """Its name."""
    formula: str
    """Its mean."""
    source: str
    """Where the form comes from."""
    variables: dict[str, str]
    """Column of each variable of the formula."""
    y: str
    """Column that was fitted."""
    rows: int
    """Rows of the table."""
    loss: str
    """gaussian | huber."""
    delta: float | None
    """Huber's delta; None for a Gaussian loss."""
    space: str
    """linear | log: of what the residuals are."""
    objective: float
    """Summed loss at the optimum: half the sum of squares, or Huber's."""
    root_mean_square: float
    """Of the residuals."""
    converged: bool
    """Whether the search ended where the gradient vanishes."""
    condition_number: float | None
    """Of the projected problem; None where the data do not tell two shapes apart."""
    starts: int
    """Starts that the search compared."""
    parameters: dict[str, Parameter]
    """Every parameter by name, its interval None without a bootstrap."""
    units: dict[str, str]
    """Unit of every parameter."""
    bootstrap: int
    """Replicates of the bootstrap; 0 for none."""
    level: float
    """Nominal coverage of the intervals."""


def fit_table(
    path: Path,
    law_name: str,
    columns: tuple[str, ...],
    y_column: str,
    loss: Loss,
    *,
    replicates: int = 0,
    level: float = 0.9,
    seed: int = 0,
) -> TableFit:
    """Fits the law to a table's columns. ConfigError: no such law, wrong number of columns. DataError: a bad table."""
    law = law_named(law_name)
    if len(columns) != len(law.variables):
        raise ConfigError(
            f"{law.name} has {len(law.variables)} variables ({', '.join(law.variables)}), got {len(columns)} columns "
            f"for --x; give one column for each"
        )
    *x_VS, y_S = _read_columns(path, (*columns, y_column))
    x = np.stack(x_VS)
    distinct, needed = np.unique(x, axis=1).shape[1], len(law.parameter_names)
    if lack_of(law, distinct, y_S.size):
        raise DataError(
            f"{path} has {y_S.size} rows at {distinct} distinct positions, too few for the {needed} parameters of "
            f"{law.name}; expected at least {needed + 3} rows at {needed + 1} positions: add rows or take a simpler law"
        )
    fitted = fit(law, x, y_S, None, loss)
    ends = None
    if replicates:
        found = resample(fitted, x, y_S, level=level, replicates=replicates, seed=seed)
        ends = intervals(found, x[:, :1], level)
    lows, highs = (ends.low, ends.high) if ends else (None, None)
    return TableFit(
        law=law.name,
        formula=law.formula,
        source=law.source,
        variables=dict(zip(law.variables, columns, strict=True)),
        y=y_column,
        rows=y_S.size,
        loss=loss.kind.value,
        delta=loss.delta if loss.kind is LossKind.HUBER else None,
        space=loss.space.value,
        objective=fitted.objective,
        root_mean_square=math.sqrt(fitted.rss / y_S.size),
        converged=fitted.converged,
        condition_number=fitted.condition_number if math.isfinite(fitted.condition_number) else None,
        starts=fitted.starts,
        parameters=_parameters(fitted, lows, highs),
        units={p.name: p.unit for p in law.linear} | {p.name: p.unit for p in law.shapes},
        bootstrap=replicates,
        level=level,
    )


def describe(found: TableFit) -> str:
    """The fit in a few lines."""
    lines = [f"{found.law}: {found.y} = {found.formula}"]
    lines += [f"  {name} is {column}" for name, column in found.variables.items()]
    for name, item in found.parameters.items():
        interval = "" if item.low is None else f" [{item.low:.6g}, {item.high:.6g}]"
        lines.append(f"  {name} = {item.value:.6g}{interval}{' at a bound: not identified' if item.at_bound else ''}")
    delta = "" if found.delta is None else f" with delta {found.delta:g}"
    state = "converged" if found.converged else "not converged"
    of = f"ln {found.y}" if found.space == "log" else found.y
    lines.append(
        f"  {found.rows} rows, {found.loss} loss{delta} of {of}: {found.objective:.8g}, root mean square "
        f"{found.root_mean_square:.3g}, {state} from {found.starts} starts"
    )
    return "\n".join(lines)


def _parameters(fitted: Fit, low_K: Array | None, high_K: Array | None) -> dict[str, Parameter]:
    names = fitted.law.parameter_names
    lows = [None] * len(names) if low_K is None else low_K.tolist()
    highs = [None] * len(names) if high_K is None else high_K.tolist()
    columns = zip(names, fitted.parameters, lows, highs, fitted.at_bound, strict=True)
    return {column[0]: Parameter(*column) for column in columns}


def _read_columns(path: Path, names: tuple[str, ...]) -> list[Array]:
    """The named columns as numbers; DataError naming the cell that is none."""
    if not path.is_file():
        raise DataError(f"there is no file {path}; expected a CSV table with a header")
    try:
        kinds = dict.fromkeys(names, pa.string())
        options = pa_csv.ConvertOptions(include_columns=list(kinds), column_types=kinds)
        header = _header(path)
        absent = [name for name in names if name not in header]
        if absent:
            raise DataError(f"{path} has no column {absent[0]!r}; its columns are {', '.join(header)}")
        table = pa_csv.read_csv(path, convert_options=options)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no CSV table with a header: {str(error).splitlines()[0]}") from error
    return [_numbers(path, name, table[name].to_pylist()) for name in names]


def _header(path: Path) -> list[str]:
    with pa_csv.open_csv(path) as reader:
        return list(reader.schema.names)


def _numbers(path: Path, name: str, cells: list[str]) -> Array:
    numbers = np.empty(len(cells))
    for row, cell in enumerate(cells):
        try:
            numbers[row] = float(cell)
        except ValueError:
            numbers[row] = math.nan
        if not math.isfinite(numbers[row]):
            raise DataError(f"{path}: column {name!r} holds {cell!r} in data row {row + 1}, expected a finite number")
    return numbers
