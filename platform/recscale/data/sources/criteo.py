"""Criteo's click logs: tab-separated lines without a header: label, 13 integers, 26 hexadecimal ids."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from recscale.data.sources.delimited import LABEL_TYPE, Layout, delimited_part, label_sql
from recscale.data.sources.files import checked_text_file, input_files
from recscale.data.sources.scan import Column, ColumnKind, Scan, name

if TYPE_CHECKING:
    import duckdb

INTEGERS = tuple(f"I{number}" for number in range(1, 14))
CATEGORIES = tuple(f"C{number}" for number in range(1, 27))


@dataclass(frozen=True)
class CriteoSource:
    """Criteo display advertising (train.txt) or the 1TB click logs (day_*): 39 fields I1..I13, C1..C26."""

    format: ClassVar[str] = "criteo"
    default_min_count: ClassVar[int] = 10

    src: Path
    """File, plain or .gz, or a folder of such files."""

    def scan(self, connection: duckdb.DuckDBPyConnection) -> Scan:
        """Checks the files and describes how to read them; DataError where they cannot be."""
        types = (
            ("label", LABEL_TYPE),
            *((column, "DOUBLE") for column in INTEGERS),
            *((column, "VARCHAR") for column in CATEGORIES),
        )
        layout = Layout(delimiter="\t", types=types, header_lines=0)
        lines = partial(delimited_part, layout=layout, rejects="rejects")
        parts = tuple(replace(lines(checked_text_file(file)), lines=lines) for file in input_files(self.src))
        columns = (
            *(Column(column, ColumnKind.NUMERIC, name(column)) for column in INTEGERS),
            *(Column(column, ColumnKind.CATEGORICAL, name(column)) for column in CATEGORIES),
        )
        return Scan(parts, columns, label_sql("label"))
