"""The tables behind the ablation page: every variant of a family at a scale against multi- and single-embedding."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from statistics import fmean, stdev

from dashboards.results import StudyResults, Trial
from dashboards.tables import Model, grouped, models, trials_of
from recscale.curves.curve import Observation
from recscale.curves.differences import Difference, Trend, difference
from recscale.curves.verdict import Better, comparison_words
from recscale.records import ModelSpec, TrainSpec

USUAL = {"sharing": "separate", "combination": "mean_features", "penalty": "none", "penalty_weight": "None"}
"""Columns that tell variants apart, and what all trials have where a column is absent."""
SETTINGS = {field.name for record in (ModelSpec, TrainSpec) for field in fields(record)}
WORDS = {
    "shared_interaction": "one interaction",
    "shared_tables": "one set of tables",
    "mean_logits": "mean of logits",
    "concatenation": "concatenation",
    "pattern_alignment": "patterns aligned",
    "subspace_similarity": "subspaces apart",
    "spectrum_flattening": "spectrum flattened",
    "orthogonality": "orthogonal blocks",
}
BASELINES = ("SE", "ME")
STANDING = {
    Trend.RISES: "better than SE",
    Trend.FALLS: "worse than SE",
    Trend.WITHIN_NOISE: "not told apart from SE",
    Trend.ONE_SEED: "one seed against SE",
}


@dataclass(frozen=True)
class VariantRow:
    """One variant over its seeds."""

    name: str
    """SE, ME, or what was changed."""
    num_sets: int
    """Embedding sets M."""
    trial_ids: tuple[str, ...]
    """The trials, by seed."""
    auc: float
    """Mean test AUC."""
    std: float | None
    """Standard deviation over seeds (n - 1); None with one seed."""
    to_multi: Difference | None
    """Test AUC minus that of ME at the same scale; None for ME itself, and where there is no ME."""
    to_single: Difference | None
    """Test AUC minus that of SE at the same scale; None for SE itself, and where there is no SE."""
    ia_ratio: float | None
    """IA / K of a set's table, mean over seeds."""
    ia_concat_ratio: float | None
    """IA / (M*K) of the concatenated sets, mean over seeds."""
    set_diversity: float | None
    """Set diversity, mean over seeds; None with one set of tables."""

    @property
    def own_change(self) -> Difference | None:
        """The difference to what was changed: to ME, or to SE where the variant is one of SE, or is ME itself."""
        return self.to_single if self.num_sets == 1 or self.to_multi is None else self.to_multi

    @property
    def is_clear(self) -> bool:
        """Whether that difference is beyond seed noise."""
        return self.own_change is not None and self.own_change.trend in (Trend.RISES, Trend.FALLS)


@dataclass(frozen=True)
class Comparison:
    """The variants of one family at one scale, and at one choice of whatever else differs in the study."""

    model: Model
    """Family and variant of the family."""
    scale: float
    """Scale of every row."""
    settings: tuple[tuple[str, str], ...]
    """Further settings that differ in the study, with their values here."""
    rows: tuple[VariantRow, ...]
    """Baselines first, then in the order of the grid."""


def comparisons(results: StudyResults) -> list[Comparison]:
    """Every comparison with a finished trial, by family, the largest scale first."""
    found = []
    for model in models(results):
        keyed = (((trial.scale, _other_settings(trial)), trial) for trial in trials_of(results, model))
        cells = grouped(pair for pair in keyed if pair[1].test_auc is not None)
        for scale, settings in sorted(cells, key=lambda cell: -cell[0]):
            found.append(Comparison(model, scale, settings, tuple(_rows(cells[scale, settings]))))
    return found


def variant_name(trial: Trial) -> str:
    """SE or ME, or what was changed; a change to single-embedding says so, and a weight that was given is told."""
    further = {**USUAL, **dict(trial.further)}
    changed = [further[name] for name in ("sharing", "combination", "penalty") if further[name] != USUAL[name]]
    if not changed:
        return trial.arm
    words = [WORDS.get(value, value) for value in changed]
    if further["penalty"] != USUAL["penalty"] and further["penalty_weight"] != USUAL["penalty_weight"]:
        words[-1] += f" ×{further['penalty_weight']}"
    return " + ".join([*(["SE"] if trial.arm == "SE" else []), *words])


def verdict_words(row: VariantRow) -> str:
    """What the seeds say about a variant against what it was changed from, and no more; then where it stands to SE."""
    change = row.own_change
    if change is None:
        return "nothing to compare with at this scale"
    if change is row.to_single:
        return comparison_words(change, Better.HIGHER, "SE")
    standing = f"; {STANDING[row.to_single.trend]}" if row.to_single else ""
    return comparison_words(change, Better.HIGHER, "ME") + standing


def _other_settings(trial: Trial) -> tuple[tuple[str, str], ...]:
    """Settings that differ in the study and make no variant; the other further columns are results."""
    return tuple((name, value) for name, value in trial.further if name in SETTINGS - USUAL.keys())


def _rows(trials: Iterable[Trial]) -> list[VariantRow]:
    """One row per variant and number of sets, baselines first."""
    cells = grouped(((variant_name(trial), trial.num_sets), trial) for trial in trials)
    single = cells.get(("SE", 1), [])
    order = sorted(cells, key=lambda key: BASELINES.index(key[0]) if key[0] in BASELINES else len(BASELINES))
    return [_row(name, sets, cells[name, sets], _multi(cells, sets), single) for name, sets in order]


def _multi(cells: dict[tuple[str, int], list[Trial]], num_sets: int) -> list[Trial]:
    """The ME trials to compare with: as many sets as the variant where there are such, else as many as there are."""
    numbers = [sets for name, sets in cells if name == "ME"]
    chosen = num_sets if num_sets in numbers else max(numbers, default=0)
    return cells.get(("ME", chosen), [])


def _row(name: str, num_sets: int, trials: list[Trial], multi: list[Trial], single: list[Trial]) -> VariantRow:
    values = [observation.value for observation in _observations(trials)]
    return VariantRow(
        name=name,
        num_sets=num_sets,
        trial_ids=tuple(trial.trial_id for trial in sorted(trials, key=lambda trial: trial.seed)),
        auc=fmean(values),
        std=stdev(values) if len(values) > 1 else None,
        to_multi=_difference(multi, trials),
        to_single=_difference(single, trials),
        ia_ratio=_mean(trial.ia_ratio_mean for trial in trials),
        ia_concat_ratio=_mean(trial.ia_concat_ratio_mean for trial in trials),
        set_diversity=_mean(trial.set_diversity_mean for trial in trials),
    )


def _difference(reference: Sequence[Trial], trials: Sequence[Trial]) -> Difference | None:
    """The trials against the reference; None where there is none, or it is they."""
    if not reference or reference == trials:
        return None
    return difference(_observations(reference), _observations(trials))


def _observations(trials: Iterable[Trial]) -> list[Observation]:
    return [Observation(t.scale, t.scale, t.test_auc, t.trial_id) for t in trials if t.test_auc is not None]


def _mean(values: Iterable[float | None]) -> float | None:
    """The mean of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
