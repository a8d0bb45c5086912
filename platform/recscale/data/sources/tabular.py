"""One table file of any kind: its columns, and how to select from it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds

from recscale.data.sources.delimited import LABEL_TYPE, Layout, delimited_part
from recscale.data.sources.files import checked_text_file, first_line
from recscale.data.sources.scan import Part, name, text
from recscale.errors import DataError

if TYPE_CHECKING:
    import duckdb

BINARY_FORMATS = {".parquet": "parquet", ".pq": "parquet", ".arrow": "ipc", ".feather": "ipc", ".ipc": "ipc"}


@dataclass(frozen=True)
class TableFile:
    """A table file that can be read."""

    file: Path
    """Where it is."""
    columns: tuple[str, ...]
    """Names, in order, each once."""
    delimiter: str | None
    """Between the columns of a text file; None for Parquet and Arrow."""
    relation: str
    """SQL relation of a Parquet or Arrow file, else empty."""

    @property
    def is_text(self) -> bool:
        """Whether all values come as text."""
        return self.delimiter is not None

    def part(
        self, rejects: str, split: str | None, label: str | None = None, numbers: frozenset[str] = frozenset()
    ) -> Part:
        """The file as a part; of a text file, lines whose `label` is not 0 or 1 or `numbers` are none are rejects."""
        if self.delimiter is None:
            return Part(self.file, self.relation, split)
        kinds = dict.fromkeys(numbers, "DOUBLE") | ({label: LABEL_TYPE} if label is not None else {})
        types = tuple((column, kinds.get(column, "VARCHAR")) for column in self.columns)
        return delimited_part(self.file, Layout(self.delimiter, types, header_lines=1, quote='"'), rejects, split)


def open_table(connection: duckdb.DuckDBPyConnection, file: Path, number: int) -> TableFile:
    """Checks a file and reads its column names; DataError where it is no table."""
    kind = BINARY_FORMATS.get(file.suffix)
    table = _open_text(file) if kind is None else _open_binary(connection, file, kind, f"table_{number}")
    repeated = sorted({column for column in table.columns if table.columns.count(column) > 1})
    if repeated:
        raise DataError(f"{file}: the columns {repeated} appear more than once; expected every name once")
    return table


def _open_text(file: Path) -> TableFile:
    header = first_line(checked_text_file(file))
    kind = file.suffixes[-2] if file.suffix == ".gz" and len(file.suffixes) > 1 else file.suffix
    delimiter = {".tsv": "\t", ".csv": ","}.get(kind, "\t" if "\t" in header else ",")
    return TableFile(file, tuple(next(csv.reader([header], delimiter=delimiter))), delimiter, "")


def _open_binary(connection: duckdb.DuckDBPyConnection, file: Path, kind: str, view: str) -> TableFile:
    if file.stat().st_size == 0:
        raise DataError(f"{file} is empty; expected a {kind} file")
    try:
        dataset = ds.dataset(file, format=kind)
        columns = tuple(dataset.schema.names)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{file} is not a valid {kind} file: {str(error).splitlines()[0]}") from error
    if kind == "parquet":
        return TableFile(file, columns, None, f"read_parquet({text(str(file))})")
    connection.register(view, dataset)
    return TableFile(file, columns, None, name(view))
