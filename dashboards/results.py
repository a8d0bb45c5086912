"""What a report reads: one study folder, checked once and held as frozen records."""

from dataclasses import dataclass, field, fields
from typing import Any

import pyarrow.compute as pc

from dashboards.evidence import Evidence, load_evidence
from dashboards.outlook import Outlook, load_outlook
from dashboards.rows import read_rows, rows_if_there
from recscale.curves.curve import Curve
from recscale.curves.verdict import Verdict
from recscale.errors import DataError
from recscale.records import from_json
from recscale.storage.location import Location

FINISHED = "finished"
FAILED = "failed"
SHOWN_MOMENTS = ("initial", "best")


@dataclass(frozen=True)
class Trial:
    """One row of trials.parquet; what a trial that has not finished cannot know is None."""

    trial_id: str
    """Identity of the trial's spec."""
    status: str
    """finished | failed | missing."""
    family: str
    """Family of the model."""
    variant: str
    """paper | fair."""
    arm: str
    """SE | ME."""
    scale: float
    """Embedding budget M*K as a multiple of the base dimension."""
    num_sets: int
    """Embedding sets M."""
    seed: int
    """Seed of the trial."""
    embed_dim: int | None = None
    """K, per set."""
    table_params: int | None = None
    """Entries of the tables."""
    dense_params: int | None = None
    """Entries of all other parameters."""
    flops_per_sample: int | None = None
    """Matrix-product FLOPs of one row's forward pass."""
    valid_auc: float | None = None
    """AUC on the valid split, which selected the weights."""
    test_auc: float | None = None
    """AUC on the test split."""
    test_log_loss: float | None = None
    """Log loss on the test split, in nats."""
    test_normalized_entropy: float | None = None
    """Log loss over the entropy of the base rate, on the test split."""
    test_calibration: float | None = None
    """Mean predicted probability over the base rate, on the test split."""
    best_epoch: float | None = None
    """Passes over the rows trained on at the best evaluation."""
    ia_mean: float | None = None
    """Information abundance of a set's table, mean over fields and sets."""
    ia_ratio_mean: float | None = None
    """IA / K."""
    ia_concat_ratio_mean: float | None = None
    """IA of the concatenated sets / (M*K)."""
    weighted_ia_ratio_mean: float | None = None
    """IA / K of the frequency-weighted tables."""
    weighted_ia_concat_ratio_mean: float | None = None
    """IA / (M*K) of the frequency-weighted concatenated sets."""
    effective_rank_mean: float | None = None
    """exp of the entropy of the normalised spectrum."""
    stable_rank_mean: float | None = None
    """Squared Frobenius norm over squared largest singular value."""
    participation_ratio_mean: float | None = None
    """(sum s^2)^2 / sum s^4."""
    set_diversity_mean: float | None = None
    """Diversity of the sets' column spaces; None with one set."""
    samples_per_second: float | None = None
    """Training rows per second."""
    seconds: float | None = None
    """Wall time of training and evaluation."""
    peak_memory_bytes: int | None = None
    """Peak memory of the trial."""
    error: str | None = None
    """Traceback of a failed trial."""
    further: tuple[tuple[str, str], ...] = ()
    """Any further column, as text: the settings beside the grid's own axes in which the study's trials differ."""

    @property
    def total_params(self) -> int | None:
        """Table and dense parameters together."""
        if self.table_params is None or self.dense_params is None:
            return None
        return self.table_params + self.dense_params


@dataclass(frozen=True)
class SpectrumRow:
    """One field's singular values at one moment of one trial."""

    family: str
    """Family of the model."""
    arm: str
    """SE | ME."""
    scale: float
    """Scale of the trial."""
    trial_id: str
    """The trial."""
    moment: str
    """initial | best."""
    field: str
    """Name of the field."""
    vocabulary_size: int
    """Ids of the field."""
    set_index: int | None
    """Which set, or None for the concatenated sets."""
    weighting: str
    """uniform | frequency: how much an id counts."""
    dim: int
    """Columns of the table whose spectrum this is."""
    spectrum: tuple[float, ...]
    """Singular values, descending."""
    information_abundance: float
    """Sum of the singular values over the largest."""
    ia_ratio: float
    """Information abundance / dim."""


@dataclass(frozen=True)
class PrivacyRow:
    """One trial under membership inference; recscale.training.membership defines the numbers."""

    trial_id: str
    """The trial."""
    rows: int
    """Rows trained on, and as many test rows."""
    attack_auc: float
    """Probability that a row trained on has a smaller loss than a test row; 0.5 is no leak."""
    attack_noise: float
    """Standard deviation of attack_auc where there is no leak."""
    within_label_auc: float
    """The same among rows of one label, mean over the labels."""
    within_label_noise: float
    """Standard deviation of within_label_auc where there is no leak."""
    loss_gap: float
    """Mean loss of the test rows minus that of the rows trained on, in nats."""
    collection_rows: tuple[int, ...]
    """Sizes of a collection."""
    detected: tuple[float, ...]
    """Share of the collections that are detected at level 0.05, by size."""
    median_p: tuple[float, ...]
    """Median p value of the collections, by size."""
    split_note: str
    """How train and test were split, in a sentence."""


@dataclass(frozen=True)
class StudyCurves:
    """The whole of curves.json."""

    curves: tuple[Curve, ...]
    """One per family, variant, arm and metric."""
    verdicts: tuple[Verdict, ...]
    """One per family and variant."""


@dataclass(frozen=True)
class StudyResults:
    """Everything that one report shows."""

    name: str
    """Name of the study: its folder's."""
    trials: tuple[Trial, ...]
    """Every trial of the grid, whatever became of it."""
    curves: StudyCurves | None
    """Fits and verdicts; None where curves.json has not been written."""
    spectra: tuple[SpectrumRow, ...] | None
    """Spectra before training and of the best weights; None where spectra.parquet has not been written."""
    provenance: tuple[tuple[str, str], ...]
    """Name and value of everything known about how the results came to be; empty where unknown."""
    privacy: tuple[PrivacyRow, ...] | None = None
    """Membership inference per trial; None where the study was not asked for it."""
    outlook: Outlook = field(default_factory=Outlook)
    """Beyond the grid, cost against quality, and arms paired on the same rows."""
    evidence: Evidence = field(default_factory=Evidence)
    """What weighs the answer: predictions of quality, equal budgets, ensembles."""

    @property
    def finished(self) -> tuple[Trial, ...]:
        """The trials that have a result."""
        return tuple(trial for trial in self.trials if trial.status == FINISHED)

    def provenance_number(self, key: str) -> float | None:
        """A provenance entry as a number, None where it is absent; DataError where it is no number."""
        text = dict(self.provenance).get(key)
        try:
            return None if text is None else float(text)
        except ValueError as error:
            raise DataError(
                f"provenance.json has {key} = {text!r}, expected a number; run the report command again to rewrite it"
            ) from error


def load_results(study_folder: Location) -> StudyResults:
    """Reads a study folder, where only trials.parquet must be there; DataError where a file is broken."""
    curves, spectra, provenance, privacy = (
        study_folder / name for name in ("curves.json", "spectra.parquet", "provenance.json", "privacy.parquet")
    )
    return StudyResults(
        name=study_folder.resolve().name,
        trials=read_rows(study_folder / "trials.parquet", Trial, _further),
        curves=from_json(StudyCurves, curves.read_bytes(), str(curves)) if curves.is_file() else None,
        spectra=rows_if_there(spectra, SpectrumRow, wanted=pc.field("moment").isin(SHOWN_MOMENTS)),
        provenance=_provenance(provenance) if provenance.is_file() else (),
        privacy=rows_if_there(privacy, PrivacyRow),
        outlook=load_outlook(study_folder),
        evidence=load_evidence(study_folder),
    )


def _further(row: dict[str, Any]) -> dict[str, Any]:
    """A row of trials.parquet with the columns that Trial does not name as text in `further`."""
    names = {field.name for field in fields(Trial)} - {"further"}
    further = tuple((name, "" if value is None else str(value)) for name, value in row.items() if name not in names)
    return {**{name: value for name, value in row.items() if name in names}, "further": further}


def _provenance(path: Location) -> tuple[tuple[str, str], ...]:
    """Name and value pairs in the file's order."""
    pairs: dict[str, str] = from_json(dict[str, str], path.read_bytes(), str(path))
    return tuple(pairs.items())
