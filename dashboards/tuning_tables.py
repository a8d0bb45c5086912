"""The tables behind the tuning page: curves tuned and untuned, the winners, and every sample of the search."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from statistics import fmean, stdev

from dashboards.results import FINISHED, StudyResults, Trial, load_results, read_table
from dashboards.tables import Metric, Model, grouped
from recscale.curves.curve import Curve, grouped_family
from recscale.curves.survival import survival_sentence
from recscale.curves.verdict import Verdict
from recscale.records import Tuning
from recscale.storage.location import Location


class Setting(StrEnum):
    """What the search tunes."""

    LEARNING_RATE = "learning_rate"
    WEIGHT_DECAY = "weight_decay"
    DROPOUT = "dropout"


class Shown(StrEnum):
    """Which samples a figure has room for."""

    NEAR_WINNERS = "near_winners"
    ALL = "all"


@dataclass(frozen=True)
class Sample:
    """One row of samples.parquet: settings that were tried in one cell."""

    cell: str
    """Identity of the cell's search."""
    family: str
    """Family of the model."""
    variant: str
    """paper | fair."""
    arm: str
    """SE | ME."""
    scale: float
    """Scale of the cell."""
    num_sets: int
    """Embedding sets M of the cell."""
    sample: int
    """Number of the sample within its cell; 0 has the untuned settings."""
    learning_rate: float
    """Its learning rate."""
    weight_decay: float
    """Its weight decay."""
    dropout: float
    """Its dropout probability."""
    near_edges: str
    """Settings near an end of the searched range, joined by +."""
    ending: str
    """finished | stopped | diverged | failed | running."""
    winner: bool
    """Whether the cell is trained with these settings."""
    valid_auc: float | None = None
    """Best valid AUC; None where there is none."""
    epochs: float | None = None
    """Passes over the train split."""
    seconds: float | None = None
    """Wall time."""
    error: str | None = None
    """What stopped a diverged or a failed sample."""

    @property
    def model(self) -> Model:
        """Family and variant."""
        return Model(self.family, self.variant)

    @property
    def place(self) -> str:
        """The cell within its family."""
        return f"{self.arm} {self.scale:g}×" + (f", {self.num_sets} sets" if self.arm != "SE" else "")


@dataclass(frozen=True)
class TuningResults:
    """Everything that the tuning page shows."""

    study: StudyResults
    """The trials with untuned and with tuned settings, their curves and verdicts."""
    samples: tuple[Sample, ...]
    """Every sample of every cell; empty where samples.parquet has not been written."""


@dataclass(frozen=True)
class TestAuc:
    """Test AUC over the seeds of one cell and group."""

    mean: float
    """Mean over seeds."""
    std: float | None
    """Seed noise, n - 1; None with one seed."""
    seeds: int
    """Finished trials."""


@dataclass(frozen=True)
class WinnerRow:
    """What the search chose for one cell, and what it is worth."""

    winner: Sample
    """The chosen settings and their valid AUC."""
    untuned: Sample
    """The sample with the untuned settings."""
    endings: str
    """How the cell's samples ended, in numbers."""
    test_untuned: TestAuc | None
    """The cell's trials with untuned settings; None where none is finished."""
    test_tuned: TestAuc | None
    """The cell's trials with the chosen settings; None where none is finished."""


def load_tuning(study_folder: Location) -> TuningResults:
    """Reads a tuning study's folder; DataError where a file is broken."""
    path = study_folder / "samples.parquet"
    names = [field.name for field in fields(Sample)]
    rows = read_table(path, Sample).select(names).to_pylist() if path.is_file() else []
    return TuningResults(load_results(study_folder), tuple(Sample(**row) for row in rows))


def tuned_models(results: TuningResults) -> list[Model]:
    """Families and variants of the study, in the order of the grid."""
    return list(dict.fromkeys(Model(trial.family, trial.variant) for trial in results.study.trials))


def group_curves(results: StudyResults, model: Model, metric: Metric) -> dict[tuple[str, Tuning], Curve]:
    """The fitted curves of a family against scale, by arm and group."""
    names = {grouped_family(model.family, group): group for group in Tuning}
    return {
        (str(curve.arm), names[curve.family]): curve
        for curve in (results.curves.curves if results.curves else ())
        if curve.family in names and (curve.variant, curve.metric) == (model.variant, metric.value)
    }


def survival_sentences(results: StudyResults) -> list[tuple[str, str]]:
    """Family, and whether single-embedding's fall survives tuning; families without both groups are left out."""
    verdicts = {verdict.family: verdict for verdict in (results.curves.verdicts if results.curves else ())}
    sentences = []
    for family in dict.fromkeys(trial.family for trial in results.trials):
        untuned, tuned = (verdicts.get(grouped_family(family, group)) for group in Tuning)
        if isinstance(untuned, Verdict) and isinstance(tuned, Verdict):
            sentences.append((family, survival_sentence(untuned, tuned)))
    return sentences


def winner_rows(results: TuningResults) -> list[WinnerRow]:
    """One row per cell that has a winner, in the order of the search."""
    return [
        WinnerRow(
            winner=next(sample for sample in samples if sample.winner),
            untuned=min(samples, key=lambda sample: sample.sample),
            endings=_endings(samples),
            test_untuned=test_auc(cell_trials(results.study, samples[0], Tuning.UNTUNED)),
            test_tuned=test_auc(cell_trials(results.study, samples[0], Tuning.TUNED)),
        )
        for samples in grouped((sample.cell, sample) for sample in results.samples).values()
        if any(sample.winner for sample in samples)
    ]


def _endings(samples: list[Sample]) -> str:
    counts = grouped((sample.ending, sample) for sample in samples)
    return ", ".join(f"{len(group)} {ending}" for ending, group in sorted(counts.items()))


def cell_trials(results: StudyResults, cell: Sample, group: Tuning) -> list[Trial]:
    """The finished trials of a cell in one of the two groups; a trial may be in both."""
    place = (cell.family, cell.variant, cell.scale, cell.num_sets)
    return [
        trial
        for trial in results.trials
        if trial.status == FINISHED
        and (trial.family, trial.variant, trial.scale, trial.num_sets) == place
        and group.value in dict(trial.further).get("settings", "").split("+")
    ]


def test_auc(trials: Iterable[Trial]) -> TestAuc | None:
    """Mean and spread over seeds."""
    values = [trial.test_auc for trial in trials if trial.test_auc is not None]
    if not values:
        return None
    return TestAuc(fmean(values), stdev(values) if len(values) > 1 else None, len(values))
