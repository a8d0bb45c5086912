"""libsvm and libFM lines, `label id:1 id:1 ...`: the n-th pair of every line belongs to field n."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from recscale.data.sources.files import checked_text_file, first_line
from recscale.data.sources.presplit import split_files
from recscale.data.sources.scan import Column, ColumnKind, Part, Scan, text
from recscale.errors import DataError

if TYPE_CHECKING:
    import duckdb

LINE = "trim(regexp_replace(split_part(coalesce(line, ''), '#', 1), '\\s+', ' ', 'g'))"
LABELS = "'0', '1', '-1', '+1', '0.0', '1.0', '-1.0'"


class IdSpace(StrEnum):
    """What an id of a line means."""

    GLOBAL = "global"
    PER_FIELD = "per_field"


@dataclass(frozen=True)
class LibsvmSource:
    """libsvm or libFM files of one-hot fields; labels 1 and 0, or 1 and -1."""

    format: ClassVar[str] = "libsvm"
    default_min_count: ClassVar[int] = 2

    src: Path | None = None
    """File or folder, plain or .gz, split at random; or give train, valid and test instead."""
    train: Path | None = None
    """File or folder of the train split."""
    valid: Path | None = None
    """File or folder of the valid split."""
    test: Path | None = None
    """File or folder of the test split."""
    ids: IdSpace = IdSpace.GLOBAL
    """global: an id belongs to one field only, which is checked; per_field: ids start again in every field."""

    def scan(self, connection: duckdb.DuckDBPyConnection) -> Scan:
        """Checks the files and describes how to read them; DataError where they cannot be."""
        files = split_files(self.src, self.train, self.valid, self.test)
        for file, _ in files:
            checked_text_file(file)
        fields = len(first_line(files[0][0]).split("#")[0].split()) - 1
        if fields < 1:
            raise DataError(f"{files[0][0]}, row 1: no `id:1` pair after the label; expected at least one")
        parts = tuple(Part(file, _pairs(file), split) for file, split in files)
        columns = tuple(
            Column(f"field_{number}", ColumnKind.CATEGORICAL, f"split_part(pairs[{number + 1}], ':', 1)")
            for number in range(1, fields + 1)
        )
        scan = Scan(parts, columns, "CAST(pairs[1] IN ('1', '+1', '1.0') AS UTINYINT)", _problem(fields), row="number")
        if self.ids is IdSpace.GLOBAL:
            _check_global(connection, scan)
        return scan


def _pairs(file: Path) -> str:
    """One row per line that is not blank: `pairs`, the label first, and `number`, the line's."""
    lines = (
        f"read_csv({text(str(file))}, auto_detect = false, header = false, columns = {{line: 'VARCHAR'}}, "
        f"delim = {text(chr(1))}, quote = '', escape = '')"
    )
    numbered = f"(SELECT {LINE} AS bare, row_number() OVER () AS number FROM {lines})"
    return f"(SELECT string_split(bare, ' ') AS pairs, number FROM {numbered} WHERE bare <> '')"


def _problem(fields: int) -> str:
    wrong = "list_filter(pairs[2:], lambda pair: NOT regexp_full_match(pair, '[0-9]+:1(\\.0*)?'))"
    label = "concat('label is ''', pairs[1], ''', expected 0 or 1, or -1 and 1')"
    return (
        f"CASE WHEN pairs[1] NOT IN ({LABELS}) THEN {label} "
        f"WHEN len(pairs) <> {fields + 1} THEN concat('got ', len(pairs) - 1, ' pairs, expected {fields}') "
        f"WHEN len({wrong}) > 0 THEN concat('got ''', ({wrong})[1], ''', expected id:1') END"
    )


def _check_global(connection: duckdb.DuckDBPyConnection, scan: Scan) -> None:
    """DataError where one id stands in two fields."""
    lines = " UNION ALL ".join(f"SELECT pairs FROM {part.relation} WHERE {scan.problem} IS NULL" for part in scan.parts)
    pairs = f"SELECT unnest(pairs[2:]) AS pair, unnest(range(1, len(pairs))) AS field FROM ({lines})"
    found = connection.sql(
        f"SELECT split_part(pair, ':', 1) AS id, min(field), max(field) FROM ({pairs}) GROUP BY id "
        f"HAVING min(field) <> max(field) ORDER BY id LIMIT 1"
    ).fetchall()
    if found:
        number, first, second = found[0]
        raise DataError(
            f"{scan.parts[0].file}: id {number} stands in field {first} and in field {second}; expected an "
            f"id in one field only: where ids start again in every field, use --ids per_field"
        )
