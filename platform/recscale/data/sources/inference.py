"""What kind a table's column is where the user does not say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recscale.data.sources.scan import ColumnKind, name
from recscale.data.sources.tabular import TableFile

if TYPE_CHECKING:
    import duckdb

DISTINCT_MIN = 1000
ROWS_PER_VALUE_MAX = 4


def infer_kinds(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[TableFile], columns: Sequence[str]
) -> dict[str, ColumnKind]:
    """The kind of each column, from all its values: text and whole numbers are categorical, fractions numeric.

    Whole numbers are numeric too where they hardly repeat: over 1,000 distinct values, fewer than 4 rows for each, and
    a name that does not end in id.
    """
    relations = [table.part(f"inference_{number}", None).relation for number, table in enumerate(tables)]
    cells = ", ".join(f"nullif(CAST({name(column)} AS VARCHAR), '') AS c{i}" for i, column in enumerate(columns))
    rows = " UNION ALL ".join(f"SELECT {cells} FROM {relation}" for relation in relations)
    counts = ", ".join(
        f"count(c{i}), count(TRY_CAST(c{i} AS DOUBLE)), approx_count_distinct(c{i}), "
        f"count(*) FILTER (TRY_CAST(c{i} AS DOUBLE) <> floor(TRY_CAST(c{i} AS DOUBLE)))"
        for i in range(len(columns))
    )
    got = connection.sql(f"SELECT {counts} FROM ({rows})").fetchall()[0]
    return {column: _kind(column, *got[4 * i : 4 * i + 4]) for i, column in enumerate(columns)}


def _kind(column: str, filled: int, numbers: int, distinct: int, fractions: int) -> ColumnKind:
    if filled == 0 or numbers < filled:
        return ColumnKind.CATEGORICAL
    hardly_repeats = distinct > DISTINCT_MIN and filled < ROWS_PER_VALUE_MAX * distinct
    if fractions or (hardly_repeats and not column.lower().endswith("id")):
        return ColumnKind.NUMERIC
    return ColumnKind.CATEGORICAL
