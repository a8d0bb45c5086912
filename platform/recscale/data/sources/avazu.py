"""Avazu's click logs: comma-separated with a header: id, click, hour (YYMMDDHH), C1, ..., C21."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from recscale.data.sources.delimited import LABEL_TYPE, Layout, delimited_part, label_sql
from recscale.data.sources.files import checked_text_file, first_line, input_files
from recscale.data.sources.scan import Column, ColumnKind, Scan, name
from recscale.errors import DataError

if TYPE_CHECKING:
    import duckdb

PLAIN = (
    *("C1", "banner_pos", "site_id", "site_domain", "site_category", "app_id", "app_domain", "app_category"),
    *("device_id", "device_ip", "device_model", "device_type", "device_conn_type"),
    *(f"C{number}" for number in range(14, 22)),
)
HEADER = ("id", "click", "hour", *PLAIN)


class HourFields(StrEnum):
    """What the hour column becomes."""

    CALENDAR = "calendar"
    RAW = "raw"


@dataclass(frozen=True)
class AvazuSource:
    """Avazu click-through rate prediction (train or train.gz); click is the label, id is not used."""

    format: ClassVar[str] = "avazu"
    default_min_count: ClassVar[int] = 4

    src: Path
    """File, plain or .gz, or a folder of such files, each with Avazu's header."""
    hour_fields: HourFields = HourFields.CALENDAR
    """calendar: hour of day, weekday, is_weekend (24 fields); raw: YYMMDDHH as one field (22, the paper's)."""

    def scan(self, connection: duckdb.DuckDBPyConnection) -> Scan:
        """Checks the files and describes how to read them; DataError where they cannot be."""
        types = tuple((column, LABEL_TYPE if column == "click" else "VARCHAR") for column in HEADER)
        layout = Layout(delimiter=",", types=types, header_lines=1)
        files = input_files(self.src)
        for file in files:
            _check_header(checked_text_file(file))
        parts = tuple(delimited_part(file, layout, f"rejects_{number}") for number, file in enumerate(files))
        columns = (*self._hour(), *(Column(column, ColumnKind.CATEGORICAL, name(column)) for column in PLAIN))
        return Scan(parts, columns, label_sql("click"), _problem())

    def _hour(self) -> tuple[Column, ...]:
        if self.hour_fields is HourFields.RAW:
            return (Column("hour", ColumnKind.CATEGORICAL, "hour"),)
        day = "isodow(TRY_STRPTIME(left(hour, 6), '%y%m%d'))"
        return (
            Column("hour", ColumnKind.CATEGORICAL, "right(hour, 2)"),
            Column("weekday", ColumnKind.CATEGORICAL, f"CAST({day} AS VARCHAR)"),
            Column("is_weekend", ColumnKind.CATEGORICAL, f"CAST(CAST({day} >= 6 AS INTEGER) AS VARCHAR)"),
        )


def _problem() -> str:
    return (
        "CASE WHEN TRY_STRPTIME(hour, '%y%m%d%H') IS NULL THEN "
        "concat('column ''hour'' is ''', hour, ''', expected YYMMDDHH') END"
    )


def _check_header(file: Path) -> None:
    got = tuple(first_line(file).split(","))
    if got != HEADER:
        missing = [column for column in HEADER if column not in got]
        raise DataError(
            f"{file}, row 1: the header lacks the columns {missing}; expected Avazu's {len(HEADER)}: {','.join(HEADER)}"
            if missing
            else f"{file}, row 1: the header has {len(got)} columns in another order; expected {','.join(HEADER)}"
        )
