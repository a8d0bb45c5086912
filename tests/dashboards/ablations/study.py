"""An ablation study's folder made with numpy: two families at two scales, one of which lacks a variant."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dashboards.results import StudyResults, load_results

HOSTILE = "<script>alert(1)</script>"
USUAL = {"sharing": "separate", "combination": "mean_features", "penalty": "none"}
VARIANTS = {
    "SE": {},
    "ME": {},
    "one interaction": {"sharing": "shared_interaction"},
    "one set of tables": {"sharing": "shared_tables"},
    "mean of logits": {"combination": "mean_logits"},
    "concatenation": {"combination": "concatenation"},
    "patterns aligned": {"penalty": "pattern_alignment"},
    "subspaces apart": {"penalty": "subspace_similarity"},
    "SE + spectrum flattened": {"penalty": "spectrum_flattening"},
}
EFFECTS = {"SE": -0.002, "one interaction": -0.0015, "mean of logits": 0.001}
SEEDS = (0, 1, 2)


def _trial(number: int, family: str, scale: float, name: str, seed: int, rng: np.random.Generator) -> dict[str, Any]:
    single = name.startswith("SE")
    auc = 0.79 + EFFECTS.get(name, 0.0) + rng.normal(0, 1e-4)
    return {
        "trial_id": f"{number:012d}",
        "status": "finished",
        "family": family,
        "variant": "fair",
        "arm": "SE" if single else "ME",
        "scale": scale,
        "num_sets": 1 if single else int(scale),
        "seed": seed,
        "embed_dim": 10,
        "test_auc": auc,
        "valid_auc": auc,
        "best_epoch": rng.uniform(1, 3),
        "ia_ratio_mean": 0.3 if single else 0.6,
        "ia_concat_ratio_mean": 0.3,
        "set_diversity_mean": None if single or name == "one set of tables" else 0.4,
        **USUAL,
        **VARIANTS[name],
        "error": None,
    }


@pytest.fixture(scope="session")
def ablation_rows() -> list[dict[str, Any]]:
    """Every variant of dcnv2; the other family has no patterns to align, and its last trial failed."""
    rng = np.random.default_rng(3)
    cells = [
        (family, scale, name, seed)
        for family in ("dcnv2", HOSTILE)
        for name in VARIANTS
        for scale in (2.0, 4.0)
        for seed in SEEDS
        if family == "dcnv2" or name != "patterns aligned"
    ]
    rows = [_trial(number, *cell, rng) for number, cell in enumerate(cells)]
    rows[-1] |= {"status": "failed", "test_auc": None, "error": "Traceback\nValueError: not finite\n"}
    return rows


def write_study(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """The folder with trials.parquet alone, as the page needs no other file."""
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "trials.parquet")
    return folder


@pytest.fixture(scope="session")
def ablation_folder(tmp_path_factory: pytest.TempPathFactory, ablation_rows: list[dict[str, Any]]) -> Path:
    """The study's folder."""
    return write_study(tmp_path_factory.mktemp("studies") / "ablations", ablation_rows)


@pytest.fixture(scope="session")
def ablation_results(ablation_folder: Path) -> StudyResults:
    """The study as the page reads it."""
    return load_results(ablation_folder)
