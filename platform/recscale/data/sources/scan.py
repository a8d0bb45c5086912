"""What every raw format gives to the preparation: files to scan with SQL, and the columns that become fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from recscale.data.manifest import SPLIT_NAMES

if TYPE_CHECKING:
    import duckdb


class ColumnKind(StrEnum):
    """How a column's values are read."""

    CATEGORICAL = "categorical"
    NUMERIC = "numeric"


@dataclass(frozen=True)
class Column:
    """A column that becomes a field."""

    name: str
    """The field's name."""
    kind: ColumnKind
    """categorical: text; numeric: a double."""
    sql: str
    """Expression over the part's relation: VARCHAR, or DOUBLE; NULL is missing."""


@dataclass(frozen=True)
class Part:
    """One file of the source."""

    file: Path
    """The file, for messages."""
    relation: str
    """What stands after FROM: its rows, in the file's order."""
    split: str | None = None
    """The split all its rows belong to, where files are split beforehand."""
    rejects: str | None = None
    """DuckDB table that holds the lines its CSV reader refused, once the relation is read."""
    header_lines: int = 0
    """Lines before the first row."""
    lines: Callable[[Path], Part] | None = None
    """Set where lines are tab-separated cells, the label and then the columns as they stand: how another file of such
    lines is read."""


@dataclass(frozen=True)
class Scan:
    """The whole source, ready to be read once."""

    parts: tuple[Part, ...]
    """In reading order."""
    columns: tuple[Column, ...]
    """In field order."""
    label: str
    """SQL of the label: 0 or 1 for every row without a problem."""
    problem: str | None = None
    """SQL that is NULL for a usable row, else text saying what was got and expected; None: all rows are usable."""
    split: str | None = None
    """SQL of a row's split as 0, 1 or 2 where a column decides; None: by file or at random."""

    row: str | None = None
    """SQL of a row's number in its file, for messages; None: rows are counted."""

    @property
    def presplit(self) -> bool:
        """Whether the source itself says which split a row belongs to."""
        return self.split is not None or any(part.split for part in self.parts)


class Source(Protocol):
    """A raw format together with the choices that only it knows."""

    format: ClassVar[str]
    """Name in the manifest and on the command line."""
    default_min_count: ClassVar[int]
    """Threshold where the options give none."""

    def scan(self, connection: duckdb.DuckDBPyConnection) -> Scan:
        """Checks the files and describes how to read them; DataError where they cannot be."""
        ...


def query(scan: Scan, part: Part) -> str:
    """SQL of a part's rows: label, split (NULL where it is not decided yet), the columns as f0, f1 and so on."""
    split = scan.split or ("NULL" if part.split is None else str(split_number(part.split)))
    selected = [f"{scan.label} AS label", f"CAST({split} AS UTINYINT) AS split"]
    selected += [f"{column.sql} AS f{index}" for index, column in enumerate(scan.columns)]
    if scan.problem is not None:
        selected.append(f"{scan.problem} AS problem")
    if scan.row is not None:
        selected.append(f"{scan.row} AS row")
    return f"SELECT {', '.join(selected)} FROM {part.relation}"


def split_number(split: str) -> int:
    """0 train, 1 valid, 2 test."""
    return SPLIT_NAMES.index(split)


def text(value: str) -> str:
    """An SQL string literal."""
    return "'" + value.replace("'", "''") + "'"


def name(identifier: str) -> str:
    """An SQL identifier."""
    return '"' + identifier.replace('"', '""') + '"'
