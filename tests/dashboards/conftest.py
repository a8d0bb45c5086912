"""Study folders made with numpy: three families, one with a hostile name; and a large one."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dashboards.results import StudyResults, load_results
from recscale.curves.curve import Curve, Observation, Target
from recscale.curves.scaling import gather
from recscale.curves.verdict import Better, judge
from recscale.records import to_plain

HOSTILE = "<script>alert(1)</script></script>"
TRACEBACK = (
    f'Traceback (most recent call last):\n  File "loop.py", line 7, in step\nValueError: {HOSTILE} is not finite\n'
)
FAMILIES = ("dcnv2", "finalmlp", HOSTILE)
SCALES = (1.0, 2.0, 4.0, 10.0)
SEEDS = (0, 1, 2)
VOCABULARIES = (3, 7, 12, 31, 60, 140, 400, 1000, 2500, 5000, 9000, 12000)
METRICS = ("test_auc", "test_log_loss", "test_normalized_entropy")
ENTROPY = 0.56
PROVENANCE = {
    "command": f"studies/scaling.py --families {HOSTILE}",
    "created": "2026-01-01 12:00 UTC",
    "dataset": "synthetic world",
    "bayes_auc": "0.799",
    "bayes_log_loss": "0.30",
    "gpu": "none",
}
SLOPES = {"SE": -0.0004, "ME": 0.0008}


def _trial(place: int, family: str, arm: str, scale: float, seed: int, rng: np.random.Generator) -> dict[str, Any]:
    num_sets = 1 if arm == "SE" else int(scale)
    budget = int(10 * scale)
    auc = 0.79 + 0.003 * place + SLOPES[arm] * np.log(scale) + rng.normal(0, 1.5e-4)
    log_loss = 0.46 - 0.8 * (auc - 0.79)
    ratio = (0.7 if arm == "ME" else 0.7 / scale**0.4) + rng.normal(0, 0.01)
    return {
        "trial_id": f"{place}{arm.lower()}{int(scale):02d}{seed}".ljust(12, "0"),
        "status": "finished",
        "family": family,
        "variant": "fair",
        "arm": arm,
        "scale": scale,
        "num_sets": num_sets,
        "seed": seed,
        "embed_dim": budget // num_sets,
        "table_params": sum(VOCABULARIES) * budget,
        "dense_params": 200_000 + 4000 * place + 9000 * budget + 20_000 * num_sets,
        "flops_per_sample": 400_000 + 18_000 * budget + 90_000 * num_sets,
        "valid_auc": auc + 2e-4,
        "test_auc": auc,
        "test_log_loss": log_loss,
        "test_normalized_entropy": log_loss / ENTROPY,
        "ia_mean": ratio * budget / num_sets,
        "ia_ratio_mean": ratio,
        "ia_concat_ratio_mean": ratio if arm == "SE" else 0.8 * ratio,
        "weighted_ia_ratio_mean": 0.9 * ratio,
        "set_diversity_mean": None if arm == "SE" else 0.2 + 0.05 * place + rng.normal(0, 0.01),
        "samples_per_second": 90_000 / budget,
        "seconds": 20 + 3.0 * budget + rng.normal(0, 2),
        "peak_memory_bytes": 900_000_000 + budget * 1_000_000,
        "error": None,
        "learning_rate": 1e-3,
    }


IDENTITY = ("trial_id", "status", "family", "variant", "arm", "scale", "num_sets", "seed", "learning_rate")


def _unfinished(row: dict[str, Any], status: str, error: str | None) -> dict[str, Any]:
    return {**{name: row[name] if name in IDENTITY else None for name in row}, "status": status, "error": error}


def _grid(families: Sequence[str], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Multi-embedding from scale 2 on."""
    rng = np.random.default_rng(7)
    return [
        _trial(place, family, arm, scale, seed, rng)
        for place, family in enumerate(families)
        for arm in ("SE", "ME")
        for scale in (SCALES if arm == "SE" else SCALES[1:])
        for seed in seeds
    ]


@pytest.fixture(scope="session")
def trial_rows() -> list[dict[str, Any]]:
    """A grid whose last two trials have not finished."""
    rows = _grid(FAMILIES, SEEDS)
    rows[-2] = _unfinished(rows[-2], "failed", TRACEBACK)
    rows[-1] = _unfinished(rows[-1], "missing", None)
    return rows


def _observations(rows: list[dict[str, Any]], family: str, arm: str, metric: str) -> list[Observation]:
    chosen = [r for r in rows if r["status"] == "finished" and (r["family"], r["arm"]) == (family, arm)]
    return [Observation(r["scale"], r["scale"], r[metric], r["trial_id"]) for r in chosen]


def _curve(rows: list[dict[str, Any]], family: str, arm: str, metric: str) -> Curve:
    """A log-linear curve by numpy's least squares, with a made-up interval."""
    points = gather(_observations(rows, family, arm, metric))
    slope, intercept = np.polyfit(np.log([p.x for p in points]), [p.mean for p in points], 1)
    grid_G = np.geomspace(points[0].x, points[-1].x, 41)
    mean_G = intercept + slope * np.log(grid_G)
    return Curve(
        family=family,
        variant="fair",
        arm=arm,
        metric=metric,
        x_axis="scale",
        target=Target.VALUE,
        points=points,
        law="log_linear",
        formula=f"{metric} = {intercept:.6g} + {slope:.6g} * log(x)",
        candidates=(),
        selection="selected by AICc; the back-test agrees",
        seed_noise=1e-4,
        eval_noise=5e-4,
        level=0.9,
        grid_x=tuple(grid_G.tolist()),
        grid_mean=tuple(mean_G.tolist()),
        grid_low=tuple((mean_G - 2e-4).tolist()),
        grid_high=tuple((mean_G + 2e-4).tolist()),
        run_low=tuple((mean_G - 4e-4).tolist()),
        run_high=tuple((mean_G + 4e-4).tolist()),
        note="three scales only; add scales" if arm == "ME" else "",
    )


def _spectrum(
    row: dict[str, Any], field: int, size: int, set_index: int | None, moment: str, weighting: str
) -> dict[str, Any]:
    dim = row["embed_dim"] * (row["num_sets"] if set_index is None else 1)
    steep = 0.3 if moment == "initial" else {"SE": 3.0, "ME": 1.2}[row["arm"]]
    steep *= {"uniform": 1.0, "frequency": 1.2}[weighting]
    values_K = np.exp(-steep * np.arange(dim) / dim * (1 + 5 / np.log(size)))
    values_K[size:] = 0
    ia = float(values_K.sum() / values_K.max())
    names = ("trial_id", "family", "arm", "scale", "num_sets", "seed")
    return {name: row[name] for name in names} | {
        "moment": moment,
        "step": 0 if moment == "initial" else 900,
        "field": f"C{field + 1}" if field else HOSTILE,
        "vocabulary_size": size,
        "set_index": set_index,
        "weighting": weighting,
        "dim": dim,
        "spectrum": values_K.tolist(),
        "information_abundance": ia,
        "ia_ratio": ia / dim,
    }


def _spectra(rows: list[dict[str, Any]], sizes: Sequence[int]) -> list[dict[str, Any]]:
    return [
        _spectrum(row, field, size, set_index, moment, weighting)
        for row in rows
        if row["status"] == "finished" and row["seed"] == SEEDS[0]
        for field, size in enumerate(sizes)
        for set_index in (None, *(range(row["num_sets"]) if row["arm"] == "ME" else ()))
        for moment in ("initial", "evaluation", "best")
        for weighting in ("uniform", "frequency")
    ]


def _curves(rows: list[dict[str, Any]], families: Sequence[str]) -> dict[str, Any]:
    arms = [(family, arm, metric) for family in families for arm in ("SE", "ME") for metric in METRICS]
    verdicts = [
        judge(
            family,
            metric="test_auc",
            better=Better.HIGHER,
            single=_observations(rows, family, "SE", "test_auc"),
            multi=_observations(rows, family, "ME", "test_auc"),
            ia_ratio=_observations(rows, family, "SE", "ia_ratio_mean"),
        )
        for family in families
    ]
    return {"curves": [_curve(rows, *each) for each in arms], "verdicts": verdicts}


def _write(folder: Path, rows: list[dict[str, Any]], families: Sequence[str], sizes: Sequence[int]) -> Path:
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "trials.parquet")
    pq.write_table(pa.Table.from_pylist(_spectra(rows, sizes)), folder / "spectra.parquet")
    (folder / "curves.json").write_text(json.dumps(to_plain(_curves(rows, families))))
    (folder / "provenance.json").write_text(json.dumps(PROVENANCE))
    return folder


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory: pytest.TempPathFactory, trial_rows: list[dict[str, Any]]) -> Path:
    """A study folder with all four files."""
    return _write(tmp_path_factory.mktemp("studies") / "quick & dirty", trial_rows, FAMILIES, VOCABULARIES)


@pytest.fixture(scope="session")
def large_results(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """Six families, 504 trials, 39 fields: as large as a study of Criteo gets."""
    families = [f"family{place}" for place in range(6)]
    sizes = np.geomspace(3, 100_000, 39).astype(int).tolist()
    return load_results(
        _write(tmp_path_factory.mktemp("studies") / "large", _grid(families, range(12)), families, sizes)
    )


@pytest.fixture(scope="session")
def results(study_folder: Path) -> StudyResults:
    """The study as a report reads it."""
    return load_results(study_folder)
