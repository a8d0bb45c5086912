"""The Criteo shape that speed is measured at: 39 fields, 1.1 million ids of Zipf frequencies, with effects to learn."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from recscale.data.manifest import FieldInfo, SourceInfo
from recscale.data.reader import Dataset
from recscale.data.writer import DatasetWriter

FIELDS = 39
CRITEO_IDS = 1_100_000


def vocabulary_sizes(ids: int = CRITEO_IDS, fields: int = FIELDS, smallest: int = 4) -> tuple[int, ...]:
    """Sizes in geometric progression that sum to about `ids`, as Criteo's spread from 4 to some 200,000."""
    low, high = smallest, ids
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if np.geomspace(smallest, middle, fields).sum() < ids else (low, middle)
    return tuple(int(size) for size in np.geomspace(smallest, low, fields))


def zipf_ids(sizes: tuple[int, ...], rows: int, seed: int = 0) -> np.ndarray:
    """Independent Zipf ids, int32 [rows, fields]."""
    rng = np.random.default_rng(seed)
    columns = []
    for size in sizes:
        cumulative = np.cumsum(1 / np.arange(1, size + 1))
        columns.append(np.searchsorted(cumulative, rng.random(rows) * cumulative[-1]).astype(np.int32))
    return np.stack(columns, 1)


def labels(ids_BN: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Of a logistic model with a normal weight per id and 22 % positives or so, uint8 [rows]."""
    rng = np.random.default_rng(1)
    logit_B = np.full(len(ids_BN), -1.5)
    for index, size in enumerate(sizes):
        logit_B += 1.5 * rng.normal(size=size)[ids_BN[:, index]] / np.sqrt(len(sizes))
    return (rng.random(len(ids_BN)) < 1 / (1 + np.exp(-logit_B))).astype(np.uint8)


def zipf_dataset(folder: Path, rows: int, sizes: tuple[int, ...], held_out: int = 16_384) -> Dataset:
    """Rows of independent Zipf ids as a prepared dataset, opened."""
    with DatasetWriter(folder) as writer:
        for seed, (split, count) in enumerate((("train", rows), ("valid", held_out), ("test", held_out))):
            ids_BN = zipf_ids(sizes, count, seed)
            writer.write_rows(split, ids_BN, labels(ids_BN, sizes))
            if split == "train":
                train_BN = ids_BN
        for index, size in enumerate(sizes):
            values = pa.array(np.arange(size), mask=np.arange(size) == 0).cast(pa.string())
            writer.write_vocabulary(f"field_{index}", index, values, np.bincount(train_BN[:, index], minlength=size))
        fields = tuple(FieldInfo(f"field_{i}", "categorical", size, min_count=1) for i, size in enumerate(sizes))
        writer.finish(fields, SourceInfo("synthetic", (), rows, rejected_rows=0, duplicate_rows=0), {}, None)
    return Dataset.open(folder)
