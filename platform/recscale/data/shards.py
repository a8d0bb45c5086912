"""One Arrow shard, opened by memory map.

Legend: N fields, R rows of one shard.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from recscale.data.manifest import ShardInfo, inside
from recscale.data.writer import shard_schema
from recscale.errors import DataError


def open_shard(folder: Path, shard: ShardInfo, num_fields: int) -> pa.RecordBatch:
    """Maps one shard, without a copy: columns ids and label.

    DataError naming it where it is not there, not whole or not the manifest's.
    """
    path = inside(folder, shard.path)
    try:
        file = pa.ipc.open_file(pa.memory_map(str(path)))
        schema, batches = file.schema, file.num_record_batches
        names = schema.names
        batch = file.get_batch(0) if batches == 1 else None
        if batch is not None:
            batch.validate()
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{path} is missing or truncated: {one_line(error)}; prepare the dataset again") from error
    if batch is None or (batch.num_rows, schema) != (shard.rows, shard_schema(num_fields)):
        got = f"{batch.num_rows} rows" if batch is not None else f"{batches} record batches"
        raise DataError(
            f"{path} is not the shard in the manifest: it has {got} and columns {names}; expected "
            f"{shard.rows} rows of {num_fields} ids and a label in one record batch; prepare the dataset again"
        )
    if not _dense(batch):
        raise DataError(
            f"{path} lacks a value; expected {num_fields} ids and a label in each of its {shard.rows} rows; "
            f"prepare the dataset again"
        )
    return batch


def _dense(shard: pa.RecordBatch) -> bool:
    """Whether there is a value for each id and label of each row."""
    ids, label = shard.columns
    whole = len(ids.values) == shard.num_rows * ids.type.list_size
    return whole and not (ids.null_count or ids.values.null_count or label.null_count)


def ids_and_labels(shard: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    """ids_RN int32 and label_R uint8 of a mapped shard, without a copy, read only."""
    ids, label = shard.columns
    return ids.values.to_numpy().reshape(-1, ids.type.list_size), label.to_numpy()


def one_line(error: Exception) -> str:
    """An error's text without line breaks."""
    return " ".join(str(error).split())
