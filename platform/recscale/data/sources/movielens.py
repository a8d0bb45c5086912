"""MovieLens ratings: ratings.csv (ml-latest, ml-20m, ml-25m), ratings.dat (ml-1m, ml-10m), u.data (ml-100k)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from recscale.data.sources.delimited import Layout, delimited_part
from recscale.data.sources.files import checked_text_file, first_line, open_text
from recscale.data.sources.scan import Column, ColumnKind, Scan
from recscale.errors import DataError

if TYPE_CHECKING:
    import duckdb

RATINGS = ("ratings.csv", "ratings.dat", "u.data")
MOVIES = ("movies.csv", "movies.dat")
HEADER = "userId,movieId,rating,timestamp"
TYPES = (("user", "VARCHAR"), ("movie", "VARCHAR"), ("rating", "DOUBLE"), ("timestamp", "VARCHAR"))
PROBLEM = (
    "CASE WHEN rating IS NULL OR user = '' OR movie = '' "
    "THEN 'the user, the movie or the rating is empty, expected all three' END"
)


@dataclass(frozen=True)
class MovielensSource:
    """MovieLens ratings with fields user, movie and, where the movies are beside them, first_genre and genres."""

    format: ClassVar[str] = "movielens"
    default_min_count: ClassVar[int] = 2

    src: Path
    """Folder with ratings.csv, ratings.dat or u.data (plain or .gz), or that file itself."""
    threshold: float = 4.0
    """Ratings of at least this are positive, all others negative; the time of rating is not used."""

    def scan(self, connection: duckdb.DuckDBPyConnection) -> Scan:
        """Checks the files and describes how to read them; DataError where they cannot be."""
        file = checked_text_file(_found(self.src, RATINGS) or self._nothing())
        part = delimited_part(file, _layout(file), "rejects_0")
        columns = [Column(column, ColumnKind.CATEGORICAL, f'"{column}"') for column in ("user", "movie")]
        movies = _found(self.src, MOVIES) if self.src.is_dir() else None
        if movies is not None:
            connection.from_arrow(_genres(movies)).create("movie_genres")
            genres = '(SELECT genres FROM movie_genres WHERE movie_id = "movie")'
            columns.append(Column("first_genre", ColumnKind.CATEGORICAL, f"split_part({genres}, '|', 1)"))
            columns.append(Column("genres", ColumnKind.CATEGORICAL, genres))
        return Scan((part,), tuple(columns), f"CAST(rating >= {self.threshold} AS UTINYINT)", PROBLEM)

    def _nothing(self) -> Path:
        raise DataError(f"{self.src} holds no MovieLens ratings; expected one of {', '.join(RATINGS)}, plain or .gz")


def _found(src: Path, names: tuple[str, ...]) -> Path | None:
    """The file itself, or the first of the names that the folder holds, plain or .gz."""
    if src.is_file():
        return src
    candidates = (src / f"{name}{suffix}" for name in names for suffix in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def _layout(file: Path) -> Layout:
    """By the first line: a header and commas, '::', or tabs."""
    line = first_line(file)
    if line == HEADER:
        return Layout(",", TYPES, header_lines=1, quote='"')
    if line.count("::") == 3:
        return Layout("::", TYPES, header_lines=0)
    if line.count("\t") == 3:
        return Layout("\t", TYPES, header_lines=0)
    raise DataError(
        f"{file}, row 1: got {line[:80]!r}, expected the header {HEADER}, or user::movie::rating::timestamp"
    )


def _genres(movies: Path) -> pa.Table:
    """Movie ids and their genres, 'Comedy|Drama'; .dat files are Latin-1. DataError where a row has no three parts."""
    checked_text_file(movies)
    pairs: dict[str, str] = {}
    for number, row in enumerate(_rows(movies), start=1):
        if len(row) != 3:
            raise DataError(f"{movies}, row {number}: got {len(row)} columns, expected movie, title, genres")
        pairs.setdefault(row[0], row[2])
    return pa.table({"movie_id": pa.array(pairs.keys(), pa.string()), "genres": pa.array(pairs.values(), pa.string())})


def _rows(movies: Path) -> Iterator[list[str]]:
    comma_separated = ".csv" in movies.name
    with io.TextIOWrapper(open_text(movies), "utf-8-sig" if comma_separated else "latin-1", newline="") as lines:
        if comma_separated:
            yield from csv.reader(lines)
        else:
            yield from (line.rstrip("\r\n").split("::") for line in lines if line.strip())
