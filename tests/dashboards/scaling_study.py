"""Study folders made with numpy: three families, one with a hostile name; and a large one."""

import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dashboards.outlook import ForecastRow, NeedRow
from dashboards.results import PrivacyRow, StudyResults, Trial, load_results
from recscale.curves.association import Pair, associate
from recscale.curves.curve import CandidateFit, Curve, Observation, Target
from recscale.curves.ensembles import EnsembleCell
from recscale.curves.equal_budget import BudgetAxis, compare
from recscale.curves.forecast import Forecast, Gain, Kind
from recscale.curves.prediction import ArmAssociations, Measure, MeasureAssociation, prediction_sentence
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


CELL = ("family", "variant", "arm", "scale", "num_sets")
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


def _candidates(arm: str) -> tuple[CandidateFit, ...]:
    """A constant and the selected law; leaving the largest scale out prefers the constant for ME."""
    misses = {"constant": 0.003 if arm == "SE" else 0.001, "log_linear": 0.002}
    return tuple(
        CandidateFit(law, law, (), aicc, misses[law], 1e-6, True, None)
        for law, aicc in (("constant", -40.0), ("log_linear", -47.5))
    )


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
        candidates=_candidates(arm),
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


def _associations(rows: list[dict[str, Any]], families: Sequence[str]) -> list[ArmAssociations]:
    """IA/K and its concatenated reading against AUC; effective rank is no column of these trials."""
    found = []
    for family, arm in product(families, ("SE", "ME")):
        chosen = [r for r in rows if r["status"] == "finished" and (r["family"], r["arm"]) == (family, arm)]
        measures = [
            MeasureAssociation(measure, associate(_pairs(chosen, measure.value), replicates=100), -1.0)
            for measure in (Measure.IA_RATIO, Measure.WEIGHTED_IA_RATIO)
        ]
        base = [r["test_auc"] for r in rows if (r["family"], r["arm"], r["scale"]) == (family, "SE", 1.0)]
        ids = tuple(row["trial_id"] for row in chosen)
        sentence = prediction_sentence(family, arm, measures)
        found.append(ArmAssociations(family, "fair", arm, float(np.mean(base)), ids, tuple(measures), sentence))
    return found


def _pairs(rows: list[dict[str, Any]], column: str) -> list[Pair]:
    return [Pair((r["scale"], r["num_sets"]), r[column], r["test_auc"], r["trial_id"]) for r in rows]


def _budgets(rows: list[dict[str, Any]], families: Sequence[str]) -> list[dict[str, Any]]:
    """As recscale.study.equal_budget writes them."""
    return [
        {"family": family, "variant": "fair", "metric": metric, "axis": axis.value, "scale": s, "num_sets": int(s)}
        | asdict(compare(_sized(rows, family, "SE", metric, axis), [x for x in multi if x.scale == s]))
        for family, metric, axis in product(families, METRICS, BudgetAxis)
        for multi in [_sized(rows, family, "ME", metric, axis)]
        for s in SCALES[1:]
        if any(x.scale == s for x in multi)
    ]


def _sized(rows: list[dict[str, Any]], family: str, arm: str, metric: str, axis: BudgetAxis) -> list[Observation]:
    chosen = [r for r in rows if r["status"] == "finished" and (r["family"], r["arm"]) == (family, arm)]
    sizes = [{**r, "total_params": r["table_params"] + r["dense_params"]}[axis.value] for r in chosen]
    return [Observation(r["scale"], x, r[metric], r["trial_id"]) for r, x in zip(chosen, sizes, strict=True)]


def _ensembles(rows: list[dict[str, Any]], families: Sequence[str]) -> list[dict[str, Any]]:
    """Two models more are a little better; ten are lacking."""
    cells = []
    for family, metric, members in product(families, METRICS, (2, 4, 10)):
        base = [r for r in rows if (r["family"], r["arm"], r["scale"]) == (family, "SE", 1.0)]
        mean = None if members == 10 else float(np.mean([r[metric] for r in base]))
        multi = [r[metric] for r in rows if (r["family"], r["arm"], r["scale"]) == (family, "ME", members)]
        rival = float(np.mean(multi)) if mean and multi else None
        sizes = (members * base[0][name] for name in ("table_params", "dense_params", "flops_per_sample"))
        gap = (rival - mean, rival - mean - 1e-4, rival - mean + 1e-4) if rival and mean else (None, None, None)
        note = "" if mean else "10 base models needed, 3 found: run the study with --base-seeds 10"
        ids = tuple(r["trial_id"] for r in base)
        cell = EnsembleCell(
            family, "fair", metric, members, 3, 2 if mean else 0, "disjoint", mean, 1e-4 if mean else None, *sizes,
            rival, *gap, None, None, None, None, ids, note,
        )  # fmt: skip
        cells.append(asdict(cell))
    return cells


def _pareto(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every cell of test AUC against its FLOPs and its seconds; memory is not known."""
    cells: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if row["status"] == "finished":
            cells.setdefault(tuple(row[name] for name in CELL), []).append(row)
    found = []
    for cost in ("flops_per_sample", "seconds"):
        means = {
            cell: [float(np.mean([r[c] for r in trials])) for c in ("test_auc", cost)] for cell, trials in cells.items()
        }
        for cell, (auc, spent) in means.items():
            front = not any(a >= auc and s <= spent and (a, s) != (auc, spent) for a, s in means.values())
            numbers = {"metric": "test_auc", "quality": auc, "cost_name": cost, "cost": spent, "on_front": front}
            found.append(dict(zip(CELL, cell, strict=True)) | numbers)
    return found


def _paired(families: Sequence[str]) -> list[dict[str, Any]]:
    """One clear gain, one loss within noise, one cell of a single seed, per family and metric."""
    tested = ((2.0, 0.002, 0.01), (4.0, -0.001, 0.6), (10.0, 0.003, None))
    return [
        {"family": family, "variant": "fair", "scale": scale, "num_sets": int(scale), "metric": metric, "value": value}
        | {"low": p and value - 1e-3, "high": p and value + 1e-3, "seeds": 3 if p else 1, "p_value": p}
        | {"p_holm": p and min(1.0, 3 * p), "p_better": p and 0.9}
        for family in families
        for metric in ("test_auc", "test_log_loss")
        for scale, value, p in tested
    ]


def _forecasts(families: Sequence[str]) -> dict[str, Any]:
    """One forecast per family and arm, and what one gain needs."""
    there = Forecast(20.0, 0.795, 0.794, 0.796, 0.793, 0.797, Kind.FORECAST, 0.3)
    brought = Gain(10.0, 20.0, 0.0005, 0.0001, 0.0009, Kind.FORECAST, 0.3)
    rows = [
        ForecastRow(family, "fair", arm, "test_auc", 2.0, there, brought) for family in families for arm in ("SE", "ME")
    ]
    return {"forecasts": rows, "needs": [NeedRow(0.001, f"{families[0]} (fair) ME: +0.001 AUC needs scale 3")]}


def _write(folder: Path, rows: list[dict[str, Any]], families: Sequence[str], sizes: Sequence[int]) -> Path:
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "trials.parquet")
    pq.write_table(pa.Table.from_pylist(_spectra(rows, sizes)), folder / "spectra.parquet")
    (folder / "curves.json").write_text(json.dumps(to_plain(_curves(rows, families))))
    (folder / "associations.json").write_text(json.dumps(to_plain(_associations(rows, families))))
    pq.write_table(pa.Table.from_pylist(_budgets(rows, families)), folder / "equal_budget.parquet")
    pq.write_table(pa.Table.from_pylist(_ensembles(rows, families)), folder / "ensembles.parquet")
    (folder / "forecasts.json").write_text(json.dumps(to_plain(_forecasts(families))))
    pq.write_table(pa.Table.from_pylist(_pareto(rows)), folder / "pareto.parquet")
    pq.write_table(pa.Table.from_pylist(_paired(families)), folder / "paired.parquet")
    (folder / "provenance.json").write_text(json.dumps(PROVENANCE))
    return folder


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory: pytest.TempPathFactory, trial_rows: list[dict[str, Any]]) -> Path:
    """A study folder with all its files."""
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


@pytest.fixture(scope="session")
def other_study(results: StudyResults) -> StudyResults:
    """The same grid, its first family better by 0.01, its second without scale 10."""
    trials = []
    for trial in results.trials:
        if trial.family == "finalmlp" and trial.scale == 10:
            continue
        better = 0.01 if trial.family == "dcnv2" and trial.test_auc else 0.0
        trials.append(replace(trial, test_auc=trial.test_auc and trial.test_auc + better))
    return replace(results, name="other", trials=tuple(trials))


FRACTIONS = (0.1, 0.25, 1.0)
ROWS = 5_000


def _axis_trial(row: dict[str, Any], further: dict[str, str], lift: float) -> Trial:
    """A trial of the scaling grid, elsewhere: `lift` is added to its AUC, ten times that to its IA / K."""
    names = {field.name for field in fields(Trial)} - {"further"}
    known = {name: value for name, value in row.items() if name in names}
    trial = Trial(**known, further=tuple(further.items()))
    return replace(
        trial,
        trial_id="-".join([trial.trial_id, *further.values()]),
        test_auc=row["test_auc"] + lift,
        ia_ratio_mean=row["ia_ratio_mean"] + 10 * lift,
        weighted_ia_concat_ratio_mean=0.8 * row["weighted_ia_ratio_mean"],
    )


def _privacy_row(trial: Trial, attack: float) -> PrivacyRow:
    noise = float(np.sqrt((2 * ROWS + 1) / 12) / ROWS)
    return PrivacyRow(
        trial_id=trial.trial_id,
        rows=ROWS,
        attack_auc=attack + 1e-3 * trial.seed,
        attack_noise=noise,
        within_label_auc=attack - 0.002,
        within_label_noise=1.4 * noise,
        loss_gap=attack - 0.5,
        collection_rows=(16, 64, 256),
        detected=(0.1, 0.3, 0.8 + 0.05 * trial.seed),
        median_p=(0.4, 0.2, 0.01),
        split_note=f"Train and test were split by the column {HOSTILE!r}.",
    )


@pytest.fixture(scope="session")
def axis_results(trial_rows: list[dict[str, Any]]) -> StudyResults:
    """Scales 1 and 4 of every family at three train fractions, last first; more data, more AUC, IA and privacy."""
    trials = [
        _axis_trial(row, {"train_fraction": f"{fraction:g}"}, 0.01 * np.log10(10 * fraction))
        for fraction in reversed(FRACTIONS)
        for row in trial_rows
        if row["scale"] in (1.0, 4.0) and row["status"] == "finished"
    ]
    privacy = tuple(_privacy_row(trial, 0.6 - 0.08 * float(dict(trial.further)["train_fraction"])) for trial in trials)
    return StudyResults("amounts", tuple(trials), None, None, tuple(PROVENANCE.items()), privacy)


@pytest.fixture(scope="session")
def decay_results(trial_rows: list[dict[str, Any]]) -> StudyResults:
    """Scale 1 of one family under three decays and two table optimizers; only L2 inside Adam lowers anything."""
    levels = (("0.0", "coupled"), ("1e-06", "coupled"), ("0.01", "decoupled"))
    trials = [
        _axis_trial(
            row,
            {"weight_decay": weight, "decay": decay, "table_optimizer": optimizer},
            -0.01 if (weight, optimizer) == ("1e-06", "adam") else 0.0,
        )
        for weight, decay in levels
        for optimizer in ("adam", "lazy_adam")
        for row in trial_rows
        if row["scale"] == 1.0 and row["family"] == "dcnv2"
    ]
    return StudyResults("decays", tuple(trials), None, None, ())


@pytest.fixture(scope="session")
def depth_results(axis_results: StudyResults) -> StudyResults:
    """The same trials at one to three cross layers instead of three fractions."""
    layers = {f"{fraction:g}": str(count) for count, fraction in enumerate(FRACTIONS, start=1)}
    trials = tuple(
        replace(trial, further=(("cross_layers", layers[dict(trial.further)["train_fraction"]]),))
        for trial in axis_results.trials
    )
    return replace(axis_results, name="depths", trials=trials)
