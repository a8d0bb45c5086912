"""Tables of a study's folder as records: what another program may have written is checked before it is drawn."""

from collections.abc import Callable
from typing import Any, TypeVar

from recscale.records import from_rows
from recscale.storage.location import Location, read_parquet

Row = TypeVar("Row")


def as_it_is(row: dict[str, Any]) -> dict[str, Any]:
    """The row."""
    return row


def read_rows(
    path: Location, kind: type[Row], shaped: Callable[[dict[str, Any]], dict[str, Any]] = as_it_is
) -> tuple[Row, ...]:
    """Every row, after `shaped`, as a record; DataError where the file is missing or broken or a row does not fit."""
    return from_rows(kind, [shaped(row) for row in read_parquet(path).to_pylist()], str(path))


def rows_if_there(path: Location, kind: type[Row]) -> tuple[Row, ...] | None:
    """Every row as a record; None where there is no such file."""
    return read_rows(path, kind) if path.is_file() else None
