"""Any table with a label column: CSV, TSV, Parquet or Arrow, with inferred or named columns and optional own splits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from recscale.data.sources.cells import (
    label_cell,
    label_problem,
    number_cell,
    number_problem,
    split_cell,
    split_problem,
    text_cell,
)
from recscale.data.sources.inference import infer_kinds
from recscale.data.sources.presplit import split_files
from recscale.data.sources.scan import Column, ColumnKind, Scan
from recscale.data.sources.tabular import TableFile, open_table
from recscale.errors import ConfigError, DataError

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class TableSource:
    """A table with one row per impression.

    Columns that neither --categorical nor --numeric names are inferred: text and whole numbers are categorical, numbers
    with fractions are numeric, and so are whole numbers that hardly repeat (over 1,000 distinct values, fewer than 4
    rows for each, and a name that does not end in id). With --numeric given, all other columns are categorical.
    """

    format: ClassVar[str] = "table"
    default_min_count: ClassVar[int] = 2

    src: Path | None = None
    """File (.csv, .tsv, .parquet, .arrow, .feather; text also .gz) or folder; or give train, valid and test instead."""
    train: Path | None = None
    """File or folder of the train split."""
    valid: Path | None = None
    """File or folder of the valid split."""
    test: Path | None = None
    """File or folder of the test split."""
    label: str = "label"
    """The label's column, 0 or 1 unless `positive` is given."""
    positive: str | None = None
    """The label that counts as 1, every other label being 0."""
    categorical: tuple[str, ...] = ()
    """Columns read as text, each distinct value an id."""
    numeric: tuple[str, ...] = ()
    """Columns read as numbers."""
    drop: tuple[str, ...] = ()
    """Columns that are not used."""
    split_by: str | None = None
    """Column that decides the split, such as a date; it is not a field."""
    valid_from: str | None = None
    """Rows whose `split_by` is below this are train; compared as numbers where both bounds are, else as text."""
    test_from: str | None = None
    """Rows whose `split_by` is below this, and not train, are valid; all others are test."""

    def scan(self, connection: duckdb.DuckDBPyConnection) -> Scan:
        """Checks the files and columns and describes how to read them; DataError where they cannot be."""
        self._check_options()
        files = split_files(self.src, self.train, self.valid, self.test)
        tables = [open_table(connection, file, number) for number, (file, _) in enumerate(files)]
        features = self._features(tables)
        kinds = self._kinds(connection, tables, features)
        numbers = frozenset(column for column in features if kinds[column] is ColumnKind.NUMERIC)
        label = self.label if self.positive is None else None
        parts = tuple(
            table.part(f"rejects_{number}", split, label, numbers)
            for number, (table, (_, split)) in enumerate(zip(tables, files, strict=True))
        )
        columns = tuple(
            Column(column, kinds[column], number_cell(column) if column in numbers else text_cell(column))
            for column in features
        )
        problem = [label_problem(self.label, self.positive), *(number_problem(column) for column in sorted(numbers))]
        split = None
        if self.split_by is not None and self.valid_from is not None and self.test_from is not None:
            split = split_cell(self.split_by, self.valid_from, self.test_from)
            problem.append(split_problem(self.split_by, self.valid_from, self.test_from))
        return Scan(parts, columns, label_cell(self.label, self.positive), f"CASE {' '.join(problem)} END", split)

    def _check_options(self) -> None:
        """ConfigError where options contradict each other."""
        bounds = (self.split_by, self.valid_from, self.test_from)
        if any(value is not None for value in bounds) and None in bounds:
            raise ConfigError(
                "got a part of a split by column; expected all of --split-by, --valid-from and --test-from"
            )
        if self.split_by is not None and self.src is None:
            raise ConfigError("got --split-by and separate files per split; expected one or the other")
        named = self._named()
        twice = sorted({column for column in named if named.count(column) > 1})
        if twice:
            raise ConfigError(
                f"columns {twice} have two uses; expected each in one of label, categorical, numeric, drop, split_by"
            )

    def _named(self) -> list[str]:
        split_by = [] if self.split_by is None else [self.split_by]
        return [self.label, *self.categorical, *self.numeric, *self.drop, *split_by]

    def _features(self, tables: list[TableFile]) -> tuple[str, ...]:
        """Columns that become fields, in the file's order; DataError where a file lacks one or none is left."""
        first = tables[0]
        for table in tables:
            missing = [column for column in self._named() if column not in table.columns]
            if missing:
                raise DataError(f"{table.file} has no column {missing[0]!r}; it has {', '.join(table.columns)}")
            if set(table.columns) != set(first.columns):
                other = sorted(set(table.columns) ^ set(first.columns))
                raise DataError(
                    f"{table.file} and {first.file} differ in the columns {other}; expected the same in both"
                )
        features = tuple(column for column in first.columns if column not in (self.label, self.split_by, *self.drop))
        if not features:
            raise DataError(f"{first.file} has no column left to be a field; it has {', '.join(first.columns)}")
        return features

    def _kinds(
        self, connection: duckdb.DuckDBPyConnection, tables: list[TableFile], features: tuple[str, ...]
    ) -> dict[str, ColumnKind]:
        """Kind of every feature: as named, else inferred, or categorical where numeric ones are named."""
        named = dict.fromkeys(self.categorical, ColumnKind.CATEGORICAL)
        named |= dict.fromkeys(self.numeric, ColumnKind.NUMERIC)
        others = [column for column in features if column not in named]
        if self.numeric or not others:
            return dict.fromkeys(others, ColumnKind.CATEGORICAL) | named
        return infer_kinds(connection, tables, others) | named
