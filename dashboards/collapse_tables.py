"""The tables behind the collapse figures: abundance against scale, abundance per field, spectra per field."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dashboards.results import SpectrumRow, StudyResults
from dashboards.tables import MeanPoint, Model, grouped, mean_points, trials_of

SPECTRUM_POINTS = 32


class Weighting(StrEnum):
    """How much an id counts in a table's spectrum."""

    UNIFORM = "uniform"
    FREQUENCY = "frequency"


class Series(StrEnum):
    """The three readings of a table's abundance."""

    SINGLE = "SE"
    PER_SET = "ME per set"
    CONCATENATED = "ME concatenated"


@dataclass(frozen=True)
class Choice:
    """One family at one scale, as the dropdown offers it."""

    family: str
    """Family of the model."""
    scale: float
    """Scale of the model."""


@dataclass(frozen=True)
class AbundancePoints:
    """IA / K of one reading against scale."""

    series: Series
    """The reading."""
    points: tuple[MeanPoint, ...]
    """By scale."""


@dataclass(frozen=True)
class FieldAbundance:
    """Abundance of one field in one reading."""

    series: Series
    """The reading."""
    moment: str
    """initial | best."""
    field: str
    """Name of the field."""
    vocabulary_size: int
    """Ids of the field."""
    rank: int
    """Position among the fields by vocabulary size, 0 the smallest."""
    trial_id: str
    """The trial."""
    information_abundance: float
    """Mean over sets where there are several."""
    ia_ratio: float
    """IA / columns, mean over sets where there are several."""


@dataclass(frozen=True)
class FieldSpectrum:
    """One field's spectrum over its largest value, thinned to SPECTRUM_POINTS."""

    field: str
    """Name of the field."""
    vocabulary_size: int
    """Ids of the field."""
    third: int
    """0, 1 or 2: which third of the fields by vocabulary size, 0 the smallest."""
    trial_id: str
    """The trial."""
    index: tuple[int, ...]
    """Which singular values, from 1."""
    normalized: tuple[float, ...]
    """Singular value / largest; zeros, which lie beyond the rank, are left out."""


def abundance_against_scale(results: StudyResults, model: Model, weighting: Weighting) -> list[AbundancePoints]:
    """IA / K over seeds per reading; readings without a value are left out."""
    prefix = "" if weighting is Weighting.UNIFORM else "weighted_"
    columns = {
        Series.SINGLE: f"{prefix}ia_ratio_mean",
        Series.PER_SET: f"{prefix}ia_ratio_mean",
        Series.CONCATENATED: f"{prefix}ia_concat_ratio_mean",
    }
    series = []
    for name, column in columns.items():
        arm = "SE" if name is Series.SINGLE else "ME"
        points = mean_points([t for t in trials_of(results, model) if t.arm == arm], "scale", column)
        if points:
            series.append(AbundancePoints(name, tuple(points)))
    return series


def diversity_against_scale(results: StudyResults, model: Model) -> list[MeanPoint]:
    """Diversity of the sets over seeds, by scale."""
    return mean_points(trials_of(results, model), "scale", "set_diversity_mean")


def choices(results: StudyResults) -> list[Choice]:
    """Families and scales that have spectra, by family in the order of the file and by scale, largest first."""
    pairs = dict.fromkeys((row.family, row.scale) for row in results.spectra or ())
    families = list(dict.fromkeys(family for family, _ in pairs))
    return [Choice(family, scale) for family, scale in sorted(pairs, key=lambda p: (families.index(p[0]), -p[1]))]


def rows_of(results: StudyResults, choice: Choice, weighting: Weighting) -> list[SpectrumRow]:
    """The spectra of one family, scale and weighting."""
    return [
        row
        for row in results.spectra or ()
        if (row.family, row.scale, row.weighting) == (choice.family, choice.scale, weighting.value)
    ]


def field_abundance(rows: list[SpectrumRow]) -> list[FieldAbundance]:
    """IA per field, reading and moment, by reading and then vocabulary size."""
    ranks = field_ranks(rows)
    keyed = (((_series(row), row.moment, row.field, row.trial_id), row) for row in rows)
    table = [
        FieldAbundance(
            series=series,
            moment=moment,
            field=field,
            vocabulary_size=group[0].vocabulary_size,
            rank=ranks[field],
            trial_id=trial_id,
            information_abundance=float(np.mean([row.information_abundance for row in group])),
            ia_ratio=float(np.mean([row.ia_ratio for row in group])),
        )
        for (series, moment, field, trial_id), group in grouped(keyed).items()
    ]
    order = list(Series)
    return sorted(table, key=lambda row: (order.index(row.series), row.moment, row.rank))


def field_ranks(rows: list[SpectrumRow]) -> dict[str, int]:
    """Position of every field by vocabulary size, ties by name."""
    sizes = {(row.vocabulary_size, row.field) for row in rows}
    return {field: rank for rank, (_, field) in enumerate(sorted(sizes))}


def _series(row: SpectrumRow) -> Series:
    """Which reading a spectrum belongs to."""
    if row.arm == "SE":
        return Series.SINGLE
    return Series.CONCATENATED if row.set_index is None else Series.PER_SET


def field_spectra(rows: list[SpectrumRow], arm: str, moment: str) -> list[FieldSpectrum]:
    """One spectrum per field and trial, smallest vocabulary first; of ME the concatenated sets."""
    ranks = field_ranks(rows)
    wanted = Series.SINGLE if arm == "SE" else Series.CONCATENATED
    chosen = {(ranks[row.field], row.trial_id): row for row in rows if row.moment == moment and _series(row) is wanted}
    return [_thinned(chosen[key], 3 * key[0] // len(ranks)) for key in sorted(chosen)]


def _thinned(row: SpectrumRow, third: int) -> FieldSpectrum:
    """First, last and evenly spaced singular values between them, without the zeros."""
    spectrum_K = np.asarray(row.spectrum)
    rank = int((spectrum_K > 0).sum())
    index = np.unique(np.linspace(0, max(rank - 1, 0), min(rank, SPECTRUM_POINTS)).round().astype(int))
    return FieldSpectrum(
        field=row.field,
        vocabulary_size=row.vocabulary_size,
        third=third,
        trial_id=row.trial_id,
        index=tuple(int(k) + 1 for k in index),
        normalized=tuple(float(spectrum_K[k] / spectrum_K[0]) for k in index),
    )


def median_spectrum(spectra: list[FieldSpectrum]) -> list[tuple[int, float]]:
    """Median over fields of the normalised value at every index that more than half of the fields reach."""
    values = grouped(pair for spectrum in spectra for pair in zip(spectrum.index, spectrum.normalized, strict=True))
    reached = {k: v for k, v in values.items() if 2 * len(v) > max(map(len, values.values()))}
    return [(k, float(np.median(v))) for k, v in sorted(reached.items())]
