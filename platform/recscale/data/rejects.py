"""Rows that could not be used: counted in full, sampled with file, row and reason, and limited."""

import re
from dataclasses import dataclass, field, replace

import duckdb
import pyarrow as pa

from recscale.data.sources.files import locate_lines
from recscale.data.sources.scan import Part, name
from recscale.errors import DataError

SAMPLE_ROWS = 1000
SCHEMA = pa.schema([("file", pa.string()), ("row", pa.int64()), ("reason", pa.string()), ("text", pa.string())])
COUNTS = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
VALUE = re.compile(r'Could not convert string "(.*)" to \'?(\w+)', re.DOTALL)
OTHERS = {
    "INVALID ENCODING": "not UTF-8 text; expected UTF-8",
    "UNQUOTED VALUE": "text around a quoted value, or a quote that is never closed; expected whole quoted values",
    "LINE SIZE OVER MAXIMUM": "longer than 2 MB; expected one row per line",
}


@dataclass(frozen=True)
class Reject:
    """One unusable row."""

    file: str
    """Its file."""
    row: int
    """Its number, from 1; for text the line in the file, a header counted."""
    reason: str
    """What was got and what was expected."""
    text: str
    """The row as it stands, where the format has text."""


@dataclass
class Rejects:
    """All unusable rows of a source: how many, and the first of every file."""

    count: int = 0
    """Over all files."""
    sample: list[Reject] = field(default_factory=list)
    """At most SAMPLE_ROWS."""

    def add(self, rejects: list[Reject], count: int) -> None:
        """Counts `count` rows, of which `rejects` are the first."""
        self.count += count
        self.sample += rejects[: SAMPLE_ROWS - len(self.sample)]

    def check(self, rows: int, limit: float) -> None:
        """DataError naming the first unusable row where more than `limit` of all rows are unusable."""
        if self.count <= limit * rows:
            return
        first = self.sample[0]
        raise DataError(
            f"{first.file}, row {first.row}: {first.reason}; {self.count} of {rows} rows cannot be used, "
            f"more than the allowed share {limit:g}: mend the data or raise --max-bad-rows"
        )

    def table(self) -> pa.Table:
        """The sample, for rejected.parquet."""
        return pa.table(
            {column: [getattr(reject, column) for reject in self.sample] for column in SCHEMA.names}, schema=SCHEMA
        )


def csv_rejects(connection: duckdb.DuckDBPyConnection, part: Part) -> tuple[list[Reject], int]:
    """The first refused lines of a part that was read to its end, in file order, and the number of all of them.

    DuckDB's own line numbers count some lines twice where several are refused, so the text is looked up in the file.
    """
    if part.rejects is None:
        return [], 0
    table = name(part.rejects)
    nth = "row_number() OVER (PARTITION BY file_id, csv_line, line ORDER BY column_idx)"
    lines = f"(SELECT *, {nth} AS nth FROM {table})"
    count = connection.sql(f"SELECT count(*) FROM {lines} WHERE nth = 1").fetchall()[0][0]
    found = connection.sql(
        f"SELECT line, csv_line, column_name, error_type, error_message FROM {lines} WHERE nth = 1 "
        f"ORDER BY line LIMIT {SAMPLE_ROWS}"
    ).fetchall()
    bare = [(line, (csv_line or "").strip("\r\n"), *rest) for line, csv_line, *rest in found]
    places = locate_lines(part.file, [row[1].split("\n")[0] for row in bare]) if bare else {}
    rejects = []
    for line, csv_line, *rest in bare:
        numbers = places.get(csv_line.split("\n")[0]) or [line]
        rejects.append(Reject(str(part.file), numbers.pop(0), _reason(*rest), csv_line))
    return sorted(rejects, key=lambda reject: reject.row), count


def merged(lines: list[Reject], problems: list[Reject]) -> list[Reject]:
    """Refused lines and unusable rows of one file in its order; the latter's numbers did not count refused lines."""
    before = 0
    moved = []
    for problem in problems:
        while before < len(lines) and lines[before].row <= problem.row + before:
            before += 1
        moved.append(replace(problem, row=problem.row + before))
    return sorted([*lines, *moved], key=lambda reject: reject.row)


def _reason(column: str | None, kind: str, message: str) -> str:
    counts, value = COUNTS.search(message), VALUE.search(message)
    if counts:
        return f"got {counts[2]} columns, expected {counts[1]}"
    if value and value[2] == "ENUM":
        return f"label {column!r} is {value[1]!r}, expected 0 or 1"
    if value:
        return f"column {column!r} is {value[1]!r}, expected a number or nothing"
    return OTHERS.get(kind, message.splitlines()[0])
