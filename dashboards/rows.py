"""Tables of a study's folder as records: what another program may have written is checked before it is drawn."""

from collections.abc import Callable
from typing import Any, TypeVar

import pyarrow.compute as pc

from recscale.records import from_rows
from recscale.storage.location import Location, read_parquet

Row = TypeVar("Row")
Shaped = Callable[[dict[str, Any]], dict[str, Any]]


def as_it_is(row: dict[str, Any]) -> dict[str, Any]:
    """The row."""
    return row


def read_rows(
    path: Location, kind: type[Row], shaped: Shaped = as_it_is, wanted: pc.Expression | None = None
) -> tuple[Row, ...]:
    """Every wanted row, after `shaped`, as a record; DataError where the file is missing or broken, or a row unfit."""
    return from_rows(kind, [shaped(row) for row in read_parquet(path, filters=wanted).to_pylist()], str(path))


def rows_if_there(
    path: Location, kind: type[Row], shaped: Shaped = as_it_is, wanted: pc.Expression | None = None
) -> tuple[Row, ...] | None:
    """As read_rows; None where there is no such file."""
    return read_rows(path, kind, shaped, wanted) if path.is_file() else None
