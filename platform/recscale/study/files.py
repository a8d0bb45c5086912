"""JSON, Parquet and Arrow files of a study, written so that a reader sees the old content or the new, never a part."""

import json

import pyarrow as pa
import pyarrow.parquet as pq

from recscale.errors import DataError
from recscale.storage.location import Location, arrow_source, write_atomic


def write_json(path: Location, plain: object) -> None:
    """Writes what JSON knows, indented; DataError where a number is not finite or the storage cannot take it."""
    try:
        content = json.dumps(plain, indent=1, allow_nan=False).encode() + b"\n"
    except ValueError as error:
        raise DataError(f"{path.name} would hold NaN or infinity, expected finite numbers: {error}") from error
    write_atomic(path, content)


def write_parquet(path: Location, table: pa.Table) -> None:
    """Writes a table as Parquet."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_atomic(path, sink.getvalue().to_pybytes())


def arrow_bytes(table: pa.Table) -> bytes:
    """The table as an Arrow IPC file."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def read_arrow(path: Location) -> pa.Table:
    """Reads an Arrow IPC file; DataError naming it where it is missing or broken."""
    try:
        return pa.ipc.open_file(arrow_source(path)).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(
            f"{path} is no readable Arrow file: {error}; delete its folder to run the trial again"
        ) from error
