"""What a collapse measurement holds, its summary, and its Arrow table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

import pyarrow as pa

from recscale.errors import ConfigError
from recscale.records import CollapseSummary


class Weighting(StrEnum):
    """How much an id counts in a spectrum."""

    UNIFORM = "uniform"
    FREQUENCY = "frequency"


class Moment(StrEnum):
    """When in a trial a measurement was taken."""

    INITIAL = "initial"
    EVALUATION = "evaluation"
    BEST = "best"


@dataclass(frozen=True)
class FieldCollapse:
    """The spectrum of one field's table, of one set or of its concatenated sets, and the metrics of it."""

    field: int
    """Index of the field."""
    vocabulary_size: int
    """Rows D of the table; IA is at most min(D, dim), so a tiny field has a small ratio without any collapse."""
    set_index: int | None
    """Index of the embedding set; None for the concatenation of all sets."""
    weighting: Weighting
    """uniform: every id counts once; frequency: rows scaled by the square root of the id's share of occurrences."""
    dim: int
    """Columns: K of a set, M*K of the concatenation."""
    spectrum: tuple[float, ...]
    """Singular values, descending, `dim` of them."""
    information_abundance: float
    """IA = sum s / max s."""
    ia_ratio: float
    """IA / dim, the paper's normalisation, whatever the vocabulary size."""
    effective_rank: float
    """exp of the entropy of the normalised spectrum."""
    stable_rank: float
    """sum s^2 / max s^2."""
    participation_ratio: float
    """(sum s^2)^2 / sum s^4."""
    set_diversity: float | None
    """1 - mean cosine of principal angles over pairs of sets; only on the uniform concatenation of several sets."""


@dataclass(frozen=True)
class CollapseMeasurement:
    """The collapse of all tables of a model at one moment."""

    rows: tuple[FieldCollapse, ...]
    """One per field, weighting and set, and one per field and weighting for the concatenated sets."""

    def summary(self) -> CollapseSummary:
        """Means over fields, and over sets within a field; ConfigError where it was measured without counts."""
        sets = self.select(Weighting.UNIFORM, per_set)
        weighted = self.select(Weighting.FREQUENCY, per_set)
        concatenated = self.select(Weighting.UNIFORM, of_concatenation)
        weighted_concatenated = self.select(Weighting.FREQUENCY, of_concatenation)
        diversities = [row.set_diversity for row in concatenated if row.set_diversity is not None]
        return CollapseSummary(
            ia_mean=fmean(row.information_abundance for row in sets),
            ia_ratio_mean=fmean(row.ia_ratio for row in sets),
            ia_concat_ratio_mean=fmean(row.ia_ratio for row in concatenated),
            effective_rank_mean=fmean(row.effective_rank for row in sets),
            stable_rank_mean=fmean(row.stable_rank for row in sets),
            participation_ratio_mean=fmean(row.participation_ratio for row in sets),
            weighted_ia_ratio_mean=fmean(row.ia_ratio for row in weighted),
            weighted_ia_concat_ratio_mean=fmean(row.ia_ratio for row in weighted_concatenated),
            set_diversity_mean=fmean(diversities) if diversities else None,
        )

    def select(self, weighting: Weighting, part: Callable[[FieldCollapse], bool]) -> list[FieldCollapse]:
        """Rows of one weighting and part; ConfigError where the measurement has none."""
        chosen = [row for row in self.rows if row.weighting is weighting and part(row)]
        if not chosen:
            raise ConfigError(
                f"the measurement has no {weighting.value}-weighted rows, expected at least one per field; "
                f"pass counts to measure_tables"
            )
        return chosen


def per_set(row: FieldCollapse) -> bool:
    """Whether a row describes one set."""
    return row.set_index is not None


def of_concatenation(row: FieldCollapse) -> bool:
    """Whether a row describes the concatenated sets."""
    return row.set_index is None


SPECTRA_SCHEMA = pa.schema(
    [
        ("moment", pa.string()),
        ("step", pa.int64()),
        ("field", pa.string()),
        ("vocabulary_size", pa.int32()),
        ("set_index", pa.int32()),
        ("weighting", pa.string()),
        ("dim", pa.int32()),
        ("spectrum", pa.list_(pa.float64())),
        ("information_abundance", pa.float64()),
        ("ia_ratio", pa.float64()),
        ("effective_rank", pa.float64()),
        ("stable_rank", pa.float64()),
        ("participation_ratio", pa.float64()),
        ("set_diversity", pa.float64()),
    ]
)
"""Columns of a trial's spectra.arrow; `set_index` is null for concatenated sets."""

SUB_EMBEDDINGS_SCHEMA = pa.schema(
    [
        ("set_index", pa.int32()),
        ("field", pa.string()),
        ("toward", pa.string()),
        ("vocabulary_size", pa.int32()),
        ("dim", pa.int32()),
        ("information_abundance", pa.float64()),
        ("ia_ratio", pa.float64()),
        ("effective_rank", pa.float64()),
        ("table_information_abundance", pa.float64()),
    ]
)
"""Columns of a trial's sub_embeddings.arrow."""

_MEASURED = SPECTRA_SCHEMA.names[SPECTRA_SCHEMA.names.index("vocabulary_size") :]


def spectra_table(measurements: Sequence[tuple[str, int, CollapseMeasurement]], field_names: Sequence[str]) -> pa.Table:
    """One row per FieldCollapse of (moment, step, measurement) triples, with SPECTRA_SCHEMA's columns."""
    rows = [
        {"moment": Moment(moment).value, "step": step, "field": field_names[row.field]}
        | {name: getattr(row, name) for name in _MEASURED}
        for moment, step, measurement in measurements
        for row in measurement.rows
    ]
    return pa.Table.from_pylist(rows, schema=SPECTRA_SCHEMA)
