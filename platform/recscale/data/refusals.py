"""What DuckDB refuses, as one line for the user."""

import contextlib
from collections.abc import Iterator

import duckdb

from recscale.errors import DataError


@contextlib.contextmanager
def reading(what: str) -> Iterator[None]:
    """Turns what DuckDB refuses into one DataError that names the source or the step."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise DataError(f"{what}: {_first_line(error)}; free disk space or raise --memory-limit") from error
    except duckdb.Error as error:
        raise DataError(f"{what}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
