"""What the collapse page reads: the study, and the tables of looks, sub-embeddings and toy runs beside it."""

from dataclasses import dataclass, replace
from typing import TypeVar

from dashboards.results import SpectrumRow, StudyResults, Trial, load_results
from dashboards.rows import rows_if_there
from recscale.storage.location import Location

UNSET = ("none", "None", "")
"""Values of a setting that a label does not name."""


@dataclass(frozen=True)
class Look:
    """One evaluation of one trial."""

    trial_id: str
    """The trial."""
    family: str
    """Family, with the settings in which the study's trials of it differ."""
    arm: str
    """SE | ME."""
    scale: float
    """Scale of the trial."""
    num_sets: int
    """Embedding sets M."""
    seed: int
    """Seed of the trial."""
    moment: str
    """initial | evaluation | best."""
    epoch: float
    """Passes over the train split done."""
    train_loss: float | None
    """Mean training loss since the look before; None before training."""
    valid_auc: float
    """AUC on the valid split."""
    ia_ratio_mean: float
    """IA / K, mean over fields and sets."""
    weighted_ia_ratio_mean: float
    """IA / K of the frequency-weighted tables."""


@dataclass(frozen=True)
class SubEmbeddingRow:
    """The abundance of what one field shows to another, in one set."""

    trial_id: str
    """The trial."""
    family: str
    """Family, with the settings in which the study's trials of it differ."""
    arm: str
    """SE | ME."""
    scale: float
    """Scale of the trial."""
    num_sets: int
    """Embedding sets M."""
    seed: int
    """Seed of the trial."""
    set_index: int
    """Index of the set."""
    field: str
    """Field i, whose table it is."""
    toward: str
    """Field j, to which it is shown."""
    dim: int
    """The most that its abundance can be."""
    information_abundance: float
    """IA(E_i^{->j})."""
    ia_ratio: float
    """IA(E_i^{->j}) / dim."""
    table_information_abundance: float
    """IA(E_i)."""


@dataclass(frozen=True)
class ToyLook:
    """One look at one run of the toy experiment."""

    embed_dim: int
    """K."""
    third_size: int
    """Ids of the third field."""
    seed: int
    """Seed of the run."""
    step: int
    """Steps done."""
    information_abundance: float
    """IA(E_1)."""
    second_alpha: tuple[float, ...]
    """Root mean square of alpha_{2,k}, by k."""
    second_spectrum: tuple[float, ...]
    """s_{2,k}."""
    second_energy: tuple[float, ...]
    """Share of E_1's squared norm along v_{2,k}."""
    third_alpha: tuple[float, ...]
    """Root mean square of alpha_{3,k}, by k."""
    third_spectrum: tuple[float, ...]
    """s_{3,k}."""
    third_energy: tuple[float, ...]
    """Share of E_1's squared norm along v_{3,k}."""


Labelled = TypeVar("Labelled", Trial, SpectrumRow, Look, SubEmbeddingRow)


@dataclass(frozen=True)
class CollapseResults:
    """Everything that one collapse page shows; its families are labels that name their settings."""

    study: StudyResults
    """Trials, curves, spectra, provenance."""
    looks: tuple[Look, ...] | None
    """Every evaluation; None where training.parquet has not been written."""
    sub_embeddings: tuple[SubEmbeddingRow, ...] | None
    """Of the first seed of every cell; None where sub_embeddings.parquet has not been written."""
    toy: tuple[ToyLook, ...] | None
    """The toy runs; None where toy.parquet has not been written."""


def load_collapse(study_folder: Location) -> CollapseResults:
    """Reads a study folder, where only trials.parquet must be there; DataError where a file is broken."""
    return with_labels(
        CollapseResults(
            study=load_results(study_folder),
            looks=rows_if_there(study_folder / "training.parquet", Look),
            sub_embeddings=rows_if_there(study_folder / "sub_embeddings.parquet", SubEmbeddingRow),
            toy=rows_if_there(study_folder / "toy.parquet", ToyLook),
        )
    )


def with_labels(results: CollapseResults) -> CollapseResults:
    """Every row's family as a label that names the settings in which the family's trials differ."""
    study = results.study
    names = labels(study.trials)

    def labelled(rows: tuple[Labelled, ...]) -> tuple[Labelled, ...]:
        return tuple(replace(row, family=names.get(row.trial_id, row.family)) for row in rows)

    return replace(
        results,
        study=replace(study, trials=labelled(study.trials), spectra=study.spectra and labelled(study.spectra)),
        looks=results.looks and labelled(results.looks),
        sub_embeddings=results.sub_embeddings and labelled(results.sub_embeddings),
    )


def labels(trials: tuple[Trial, ...]) -> dict[str, str]:
    """By trial: its family, those of its settings that differ within the family, and its penalty after a plus.

    A setting that is none is not named, nor is the weight of a penalty that the family has with one weight only.
    """
    seen: dict[tuple[str, str], set[str]] = {}
    for trial in trials:
        for name, value in trial.further:
            seen.setdefault((trial.family, name), set()).add(value)
    return {trial.trial_id: _label(trial, seen) for trial in trials}


def _label(trial: Trial, seen: dict[tuple[str, str], set[str]]) -> str:
    named = {name: value for name, value in trial.further if value not in UNSET and len(seen[trial.family, name]) > 1}
    penalty, weight = named.pop("penalty", ""), named.pop("penalty_weight", "")
    words = [trial.family, *(f"{name}={value}" for name, value in named.items())]
    weights = {value for value in seen.get((trial.family, "penalty_weight"), ()) if value not in UNSET}
    if penalty:
        words += ["+", penalty, *([weight] if len(weights) > 1 else [])]
    return " ".join(words)


def unpenalized(label: str) -> str:
    """The label without its penalty."""
    return label.partition(" + ")[0]


def labels_of(results: CollapseResults) -> list[str]:
    """Labels with a finished trial, in the order of the grid."""
    return list(dict.fromkeys(trial.family for trial in results.study.finished))


def plain_labels(results: CollapseResults) -> list[str]:
    """Labels without a penalty."""
    return [label for label in labels_of(results) if label == unpenalized(label)]


def regularized_pairs(results: CollapseResults) -> list[tuple[str, str]]:
    """Labels without and with the orthogonality regulariser, where both have a finished trial."""
    known = labels_of(results)
    return [
        (unpenalized(label), label)
        for label in known
        if label.startswith(f"{unpenalized(label)} + orthogonality") and unpenalized(label) in known
    ]
