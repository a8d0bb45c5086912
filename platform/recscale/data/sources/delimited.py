"""Delimited text read by DuckDB's CSV reader, which puts every line it cannot use into a table of rejects."""

from dataclasses import dataclass
from pathlib import Path

from recscale.data.sources.scan import Part, name, text

LABEL_TYPE = "ENUM('0', '1', '0.0', '1.0')"


@dataclass(frozen=True)
class Layout:
    """How the lines of a file are read."""

    delimiter: str
    """Between columns."""
    types: tuple[tuple[str, str], ...]
    """Name and DuckDB type of every column; a value that does not fit its type makes the line a reject."""
    header_lines: int
    """1 where the first line names the columns, else 0."""
    quote: str = ""
    """Quote character, empty where the format knows none."""


def delimited_part(file: Path, layout: Layout, rejects: str, split: str | None = None) -> Part:
    """A file as a part, its rejects in a new table of that name; empty text stays '', an empty number is NULL."""
    columns = ", ".join(f"{text(column)}: {text(kind)}" for column, kind in layout.types)
    never_null = ", ".join(text(column) for column, kind in layout.types if kind != "DOUBLE")
    relation = (
        f"read_csv({text(str(file))}, auto_detect = false, delim = {text(layout.delimiter)}, "
        f"quote = {text(layout.quote)}, escape = {text(layout.quote)}, header = {bool(layout.header_lines)}, "
        f"columns = {{{columns}}}, force_not_null = [{never_null}], null_padding = false, strict_mode = true, "
        f"store_rejects = true, rejects_table = {text(rejects)}, rejects_scan = {text(rejects + '_scans')}, "
        f"rejects_limit = 0)"
    )
    return Part(file, relation, split, rejects, layout.header_lines)


def label_sql(column: str) -> str:
    """0 or 1 from a column of LABEL_TYPE."""
    return f"CAST(starts_with(CAST({name(column)} AS VARCHAR), '1') AS UTINYINT)"
