"""A finished tuning study of two families, one with a hostile name, made with numpy."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dashboards.tuning_tables import TuningResults, load_tuning
from recscale.curves.curve import Curve, Observation, grouped_family
from recscale.curves.scaling import fit_curve
from recscale.curves.verdict import Better, Verdict, judge
from recscale.records import Tuning, to_plain

HOSTILE = "<script>alert(1)</script>"
FAMILIES = ("dcnv2", HOSTILE)
CELLS = (("SE", 1.0, 1), ("SE", 4.0, 1), ("ME", 4.0, 4))
SEEDS = (0, 1, 2)
SAMPLES = 6
SAME = ("SE", 1.0, 1)
"""The cell in which the untuned settings won, so that its trials are in both groups."""
FALLS = {"untuned": -0.004, "tuned": 0.0}


Row = dict[str, Any]


def _trial(family: str, cell: tuple[str, float, int], seed: int, groups: str, rng: np.random.Generator) -> Row:
    arm, scale, num_sets = cell
    change = FALLS[groups.split("+")[0]] if arm == "SE" else 0.003
    auc = 0.7 + change * (scale > 1) + rng.normal(0, 2e-4)
    return {
        "trial_id": f"{FAMILIES.index(family)}{arm}{scale:g}{seed}{groups[:1]}".ljust(12, "0"),
        "status": "finished",
        "family": family,
        "variant": "fair",
        "arm": arm,
        "scale": scale,
        "num_sets": num_sets,
        "seed": seed,
        "test_auc": auc,
        "test_log_loss": 1.2 - auc,
        "test_normalized_entropy": (1.2 - auc) / 0.56,
        "valid_auc": auc,
        "settings": groups,
        "error": None,
    }


def trials() -> list[Row]:
    rng = np.random.default_rng(5)
    return [
        _trial(family, cell, seed, groups, rng)
        for family in FAMILIES
        for cell in CELLS
        for groups in (("untuned+tuned",) if cell == SAME else ("untuned", "tuned"))
        for seed in SEEDS
    ]


def _samples() -> list[Row]:
    rng = np.random.default_rng(6)
    rows = []
    for family in FAMILIES:
        for arm, scale, num_sets in CELLS:
            winner = 0 if (arm, scale, num_sets) == SAME else 3
            for number in range(SAMPLES):
                diverged = number == 5
                rows.append(
                    {
                        "cell": f"{FAMILIES.index(family)}{arm}{scale:g}",
                        "family": family,
                        "variant": "fair",
                        "arm": arm,
                        "scale": scale,
                        "num_sets": num_sets,
                        "sample": number,
                        "learning_rate": 1e-3 if number == 0 else float(10 ** rng.uniform(-4, -2)),
                        "weight_decay": 1e-6 if number == 0 else float(10 ** rng.uniform(-8, -4)),
                        "dropout": 0.2 if number == 0 else float(rng.uniform(0, 0.5)),
                        "near_edges": "learning_rate+dropout" if number == winner != 0 else "",
                        "ending": "diverged" if diverged else ("finished" if number in (0, winner) else "stopped"),
                        "winner": number == winner,
                        "valid_auc": None if diverged else 0.71 if number == winner else 0.70 - 0.01 * number,
                        "epochs": 2.0,
                        "seconds": 3.0,
                        "error": "training loss is nan" if diverged else None,
                    }
                )
    return rows


def members(rows: list[Row], family: str, group: str, arm: str) -> list[Row]:
    """Trials of a curve; multi-embedding starts at the common base."""
    mine = [row for row in rows if row["family"] == family and group in row["settings"].split("+")]
    return [row for row in mine if row["arm"] == arm or (arm == "ME" and row["scale"] == 1.0)]


def _observations(rows: list[Row], metric: str) -> list[Observation]:
    return [Observation(row["scale"], row["scale"], row[metric], row["trial_id"]) for row in rows]


def _curves(rows: list[Row]) -> list[Curve]:
    return [
        fit_curve(
            _observations(members(rows, family, group, arm), metric),
            family=grouped_family(family, group),
            variant="fair",
            arm=arm,
            metric=metric,
            replicates=100,
        ).curve
        for family in FAMILIES
        for group in Tuning
        for arm in ("SE", "ME")
        for metric in ("test_auc", "test_log_loss", "test_normalized_entropy")
    ]


def _verdicts(rows: list[Row]) -> list[Verdict]:
    return [
        judge(
            grouped_family(family, group),
            metric="test_auc",
            better=Better.HIGHER,
            single=_observations(members(rows, family, group, "SE"), "test_auc"),
            multi=_observations(members(rows, family, group, "ME"), "test_auc"),
        )
        for family in FAMILIES
        for group in Tuning
    ]


@pytest.fixture(scope="session")
def tuning_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished tuning study of two families."""
    path = tmp_path_factory.mktemp("studies") / "tune"
    path.mkdir()
    rows = trials()
    pq.write_table(pa.Table.from_pylist(rows), path / "trials.parquet")
    pq.write_table(pa.Table.from_pylist(_samples()), path / "samples.parquet")
    curves = {"curves": _curves(rows), "verdicts": _verdicts(rows)}
    (path / "curves.json").write_text(json.dumps(to_plain(curves)))
    (path / "provenance.json").write_text(json.dumps({"dataset": "a world", "command": f"tuning.py {HOSTILE}"}))
    return path


@pytest.fixture(scope="session")
def tuning(tuning_folder: Path) -> TuningResults:
    """The study as its page reads it."""
    return load_tuning(tuning_folder)
