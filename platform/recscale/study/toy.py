"""The toy experiment as part of a study: toy.parquet, whose runs are kept as long as their settings are asked for."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from itertools import product
from typing import Any

import pyarrow as pa

from recscale.collapse.toy import FieldPush, ToyMoment, ToySettings, run_toy
from recscale.errors import ConfigError
from recscale.records import from_rows
from recscale.storage.location import Location, read_parquet
from recscale.study.files import write_parquet

TOY_FILE = "toy.parquet"
THIRD_SIZES = (3, 100)
"""Ids of the third field in the paper: few, and as many as the others."""
_PARTS = [f"{field}_{part.name}" for field in ("second", "third") for part in fields(FieldPush)]
TOY_SCHEMA = pa.schema(
    [
        ("embed_dim", pa.int64()),
        ("third_size", pa.int64()),
        ("seed", pa.int64()),
        ("steps", pa.int64()),
        ("learning_rate", pa.float64()),
        ("step", pa.int64()),
        ("loss", pa.float64()),
        ("information_abundance", pa.float64()),
        *((name, pa.list_(pa.float64())) for name in _PARTS),
    ]
)
"""One row per look: the run's settings, then the look; `second_alpha` and its like are lists by singular value."""


def toy_grid(embed_dims: Sequence[int], seeds: int) -> tuple[ToySettings, ...]:
    """The paper's two sizes of the third field, for every K and seed; ConfigError for what cannot be run."""
    if seeds < 0 or min(embed_dims, default=1) < 1:
        raise ConfigError(f"toy dims {list(embed_dims)} and {seeds} seeds: expected dims of 1 or more, 0 seeds or more")
    return tuple(ToySettings(dim, size, seed) for dim, size, seed in product(embed_dims, THIRD_SIZES, range(seeds)))


def write_toy(folder: Location, wanted: Sequence[ToySettings]) -> Location:
    """Runs what toy.parquet does not hold yet, drops what is not wanted, writes after every run; its path."""
    path = folder / TOY_FILE
    known = _known(path)
    runs = {settings: known[settings] for settings in wanted if settings in known}
    if len(runs) < len(known):
        _write(path, runs)
    for settings in wanted:
        if settings not in runs:
            runs[settings] = [_row(settings, look) for look in run_toy(settings)]
            _write(path, runs)
    return path


def _known(path: Location) -> dict[ToySettings, list[dict[str, Any]]]:
    """Rows by run; DataError where the file is broken, none where it is absent."""
    if not path.exists():
        return {}
    rows = read_parquet(path, schema=TOY_SCHEMA).to_pylist()
    settings = from_rows(ToySettings, rows, str(path))
    runs: dict[ToySettings, list[dict[str, Any]]] = {}
    for run, row in zip(settings, rows, strict=True):
        runs.setdefault(run, []).append(row)
    return runs


def _write(path: Location, runs: dict[ToySettings, list[dict[str, Any]]]) -> None:
    rows = [row for rows in runs.values() for row in rows]
    write_parquet(path, pa.Table.from_pylist(rows, schema=TOY_SCHEMA))


def _row(settings: ToySettings, look: ToyMoment) -> dict[str, Any]:
    pushes = {"second": asdict(look.second), "third": asdict(look.third)}
    parts = {f"{field}_{name}": values for field, push in pushes.items() for name, values in push.items()}
    numbers = {name: getattr(look, name) for name in ("step", "loss", "information_abundance")}
    return {**asdict(settings), **numbers, **parts}
