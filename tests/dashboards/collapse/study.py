"""A collapse study's folder made with numpy: dcnv2 with and without the regulariser, dnn, a family with gaps."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dashboards.collapse_results import CollapseResults, load_collapse
from recscale.study.results import TRIALS_SCHEMA

HOSTILE = "<script>alert(1)</script></script>"
FIELDS = (("C1", 3), (HOSTILE, 12), ("C3", 60), ("C4", 400), ("C5", 2500))
MODELS = (("dcnv2", "none"), ("dnn", "none"), (HOSTILE, "none"), ("dcnv2", "orthogonality"))
SEEDS = (0, 1)
STEPS = (0, 100, 200)
AXES = ("trial_id", "family", "variant", "arm", "scale", "num_sets", "seed")


def cells() -> list[dict[str, Any]]:
    """Axes of every trial: SE at scales 1 and 2, ME at 2; the regulariser on SE only."""
    shapes = (("SE", 1.0, 1), ("SE", 2.0, 1), ("ME", 2.0, 2))
    return [
        dict(
            zip(
                AXES,
                (f"{place}{arm}{scale:g}{seed}".ljust(12, "0"), family, "fair", arm, scale, sets, seed),
                strict=True,
            )
        )
        | {"penalty": penalty, "penalty_weight": "0.0001" if penalty != "none" else "None"}
        for place, (family, penalty) in enumerate(MODELS)
        for (arm, scale, sets), seed in product(shapes, SEEDS)
        if arm == "SE" or penalty == "none"
    ]


def _ratio(cell: dict[str, Any], step: int) -> float:
    """IA / K falls along training and with scale; the regulariser lifts it; seeds differ a little."""
    learned = 0.8 - 0.2 * step / STEPS[-1] - 0.05 * cell["scale"] * step / STEPS[-1]
    return learned + 0.1 * (cell["penalty"] != "none") * step / STEPS[-1] + 0.002 * cell["seed"]


def _auc(cell: dict[str, Any], step: int) -> float:
    rise = {"dcnv2": 0.02, "dnn": -0.01}.get(cell["family"], 0.0)
    return 0.5 + (0.2 + rise * cell["scale"]) * step / STEPS[-1] + 0.0004 * cell["seed"]


def _trial(cell: dict[str, Any]) -> dict[str, Any]:
    """Every column that a study writes; none of the numbers is alike in two trials, as real ones are not."""
    numbers = {field.name for field in TRIALS_SCHEMA if field.type in (pa.float64(), pa.int64())} - cell.keys()
    distinct = float(int.from_bytes(cell["trial_id"].encode(), "little") % 997)
    return (
        dict.fromkeys(sorted(numbers), distinct)
        | cell
        | {
            "status": "finished",
            "embed_dim": int(10 * cell["scale"] / cell["num_sets"]),
            "test_auc": _auc(cell, STEPS[-1]),
            "valid_auc": _auc(cell, STEPS[-1]),
            "ia_ratio_mean": _ratio(cell, STEPS[-1]),
            "error": None,
        }
    )


def _looks(cell: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        cell
        | {
            "moment": moment,
            "step": step,
            "epoch": step / 100,
            "train_loss": None if step == 0 else 0.7 - 0.001 * step,
            "valid_auc": _auc(cell, step),
            "ia_ratio_mean": _ratio(cell, step),
            "weighted_ia_ratio_mean": 0.9 * _ratio(cell, step),
        }
        for moment, step in zip(("initial", "evaluation", "best"), STEPS, strict=True)
    ]


def _spectra(cell: dict[str, Any]) -> list[dict[str, Any]]:
    dim = int(10 * cell["scale"])
    rows = []
    for (field, size), moment in product(FIELDS, ("initial", "best")):
        values_K = np.exp(-(0.2 if moment == "initial" else 4.0) * np.arange(dim) / dim)
        values_K[size:] = 0
        abundance = float(values_K.sum())
        rows += [
            {name: cell[name] for name in AXES if name != "variant"}
            | {"moment": moment, "step": 0, "field": field, "vocabulary_size": size, "set_index": index}
            | {"weighting": weighting, "dim": dim, "spectrum": values_K.tolist()}
            | {"information_abundance": abundance, "ia_ratio": abundance / dim}
            for index, weighting in product((0, None), ("uniform", "frequency"))
        ]
    return rows


def _sub_embeddings(cell: dict[str, Any]) -> list[dict[str, Any]]:
    """Abundance rises along i and not along j; the hostile family shows nothing to itself."""
    return [
        {name: cell[name] for name in AXES}
        | {"set_index": index, "field": field, "toward": toward, "vocabulary_size": size, "dim": 10}
        | {"information_abundance": 1.0 + i + 0.1 * (j % 2) + 0.5 * index, "table_information_abundance": 2.0 + i}
        | {"ia_ratio": 0.1 + 0.01 * i + 0.05 * (cell["penalty"] != "none")}
        for index in range(cell["num_sets"])
        for (i, (field, size)), (j, (toward, _)) in product(enumerate(FIELDS), enumerate(FIELDS))
        if cell["family"] != "dnn" and (i != j or cell["family"] != HOSTILE)
    ]


def _toy() -> list[dict[str, Any]]:
    rows = []
    for dim, size, seed, step in product((5, 10), (3, 100), SEEDS, (0, 100, 200)):
        rank = min(size, dim)
        fall = step / 200 * (2 if size == 3 else 0)
        rows.append(
            {"embed_dim": dim, "third_size": size, "seed": seed, "steps": 200, "learning_rate": 1.0, "step": step}
            | {"loss": 0.7, "information_abundance": 0.8 * dim - fall + 0.02 * seed}
            | {f"second_{name}": np.linspace(2, 1, dim).tolist() for name in ("alpha", "spectrum", "energy")}
            | {f"third_{name}": np.linspace(4, 3, rank).tolist() for name in ("alpha", "spectrum", "energy")}
        )
    return rows


def _write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), folder / name)


@pytest.fixture(scope="session")
def collapse_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study folder with every table."""
    folder = tmp_path_factory.mktemp("studies") / "collapse"
    folder.mkdir()
    first_seed = [cell for cell in cells() if cell["seed"] == 0]
    _write(folder, "trials.parquet", [_trial(cell) for cell in cells()])
    _write(folder, "training.parquet", [look for cell in cells() for look in _looks(cell)])
    _write(folder, "spectra.parquet", [row for cell in first_seed for row in _spectra(cell)])
    _write(folder, "sub_embeddings.parquet", [row for cell in first_seed for row in _sub_embeddings(cell)])
    _write(folder, "toy.parquet", _toy())
    return folder


@pytest.fixture(scope="session")
def collapse(collapse_folder: Path) -> CollapseResults:
    """The study as the page reads it."""
    return load_collapse(collapse_folder)
