"""Measures the collapse of a model's tables.

Legend: V rows of all fields, D rows of one field, C rows of one chunk, M embedding sets, K embedding dimension per set,
P = M*K columns; set m of a row is its columns m*K to (m+1)*K. A field of at most DIRECT_ENTRIES entries takes an SVD in
float64; a larger one its Gram matrix in float64, which serves the concatenated sets, every set (a diagonal block) and
the set diversity.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from recscale.collapse.measurement import CollapseMeasurement, FieldCollapse, Weighting
from recscale.collapse.spectra import (
    Spectrum,
    effective_rank,
    information_abundance,
    participation_ratio,
    spectrum_of_gram,
    spectrum_of_rows,
    stable_rank,
)
from recscale.collapse.subspaces import diversity_of_gram, diversity_of_rows
from recscale.errors import ConfigError, DataError, TrialError

DIRECT_ENTRIES = 2**16
"""Entries of a field's table (D * P) up to which a direct SVD is as cheap as a Gram matrix."""
CHUNK_ENTRIES = 2**19
"""Entries converted to float64 at a time: 4 MiB per copy, whatever the table's size."""


class Rows(Protocol):
    """Rows of a matrix, a tensor's or such as lie with several workers: a slice of them is a tensor."""

    @property
    def shape(self) -> torch.Size:
        """Rows and columns."""

    @property
    def device(self) -> torch.device:
        """Where slices lie."""

    def __getitem__(self, rows: slice) -> torch.Tensor:
        """Consecutive rows, all columns."""


@dataclass(frozen=True)
class RowRange:
    """Consecutive rows of a matrix, read when they are asked for."""

    whole: Rows
    """The matrix."""
    start: int
    """Its first row here."""
    rows: int
    """Rows from there on."""

    @property
    def shape(self) -> torch.Size:
        """Rows and columns."""
        return torch.Size((self.rows, self.whole.shape[1]))

    @property
    def device(self) -> torch.device:
        """Where slices lie."""
        return self.whole.device

    def __getitem__(self, rows: slice) -> torch.Tensor:
        """Consecutive rows."""
        first, last, _ = rows.indices(self.rows)
        return self.whole[self.start + first : self.start + last]


@dataclass(frozen=True)
class _Spectra:
    """The spectra of one field under one weighting."""

    sets: list[Spectrum]
    """One per set."""
    concatenated: Spectrum
    """Of all sets side by side."""
    set_diversity: float | None
    """None with one set, or where it was not asked for."""


def measure_tables(
    weight_VP: Rows,
    vocabulary_sizes: Sequence[int],
    num_sets: int,
    counts: Sequence[NDArray[np.int64]] | None,
) -> CollapseMeasurement:
    """Spectra, metrics and set diversity of every field, on the tensor's own device.

    `counts` holds each id's occurrences per field; without them the frequency-weighted rows are absent.
    ConfigError: shapes that do not fit. DataError: negative counts. TrialError: entries that are not finite.
    """
    _check_shapes(weight_VP, vocabulary_sizes, num_sets, counts)
    rows: list[FieldCollapse] = []
    with torch.no_grad():
        for field, table_DP in enumerate(field_tables(weight_VP, vocabulary_sizes)):
            root_D = None if counts is None else _root_frequency(counts[field], field).to(table_DP.device)
            for weighting, spectra in _field_spectra(table_DP, root_D, num_sets, field):
                rows.extend(_field_rows(field, table_DP.rows, weighting, spectra))
    return CollapseMeasurement(tuple(rows))


def field_tables(weight_VP: Rows, vocabulary_sizes: Sequence[int]) -> list[RowRange]:
    """Every field's rows."""
    starts = [0, *accumulate(vocabulary_sizes)]
    return [RowRange(weight_VP, start, size) for start, size in zip(starts, vocabulary_sizes, strict=False)]


def _field_spectra(
    table_DP: Rows, root_D: torch.Tensor | None, num_sets: int, field: int
) -> Iterator[tuple[Weighting, _Spectra]]:
    """Yields the spectra of one field, uniform first."""
    if table_DP.shape.numel() <= DIRECT_ENTRIES:
        exact_DP = _finite(table_DP[:].double().cpu(), field)
        yield Weighting.UNIFORM, _direct(exact_DP, num_sets, Weighting.UNIFORM)
        if root_D is not None:
            yield Weighting.FREQUENCY, _direct(exact_DP * root_D.cpu()[:, None], num_sets, Weighting.FREQUENCY)
        return
    grams = gram_matrices(table_DP, root_D)
    for weighting, gram_PP in zip(Weighting, grams, strict=False):
        yield weighting, _through_gram(_finite(gram_PP.cpu(), field), num_sets, weighting)


def _direct(table_DP: torch.Tensor, num_sets: int, weighting: Weighting) -> _Spectra:
    """Spectra by SVDs of the table itself."""
    sets_MDK = torch.stack(table_DP.chunk(num_sets, dim=1))
    concatenated = spectrum_of_rows(table_DP)
    if num_sets == 1:
        return _Spectra([concatenated], concatenated, None)
    diversity = diversity_of_rows(sets_MDK) if weighting is Weighting.UNIFORM else None
    return _Spectra([spectrum_of_rows(set_DK) for set_DK in sets_MDK], concatenated, diversity)


def _through_gram(gram_PP: torch.Tensor, num_sets: int, weighting: Weighting) -> _Spectra:
    """Spectra by eigenvalues of the Gram matrix and of its diagonal blocks."""
    concatenated = spectrum_of_gram(gram_PP)
    if num_sets == 1:
        return _Spectra([concatenated], concatenated, None)
    dim = len(gram_PP) // num_sets
    blocks = [gram_PP[start : start + dim, start : start + dim] for start in range(0, len(gram_PP), dim)]
    diversity = diversity_of_gram(gram_PP, num_sets) if weighting is Weighting.UNIFORM else None
    return _Spectra([spectrum_of_gram(block_KK) for block_KK in blocks], concatenated, diversity)


def gram_matrices(table_DP: Rows, root_D: torch.Tensor | None) -> list[torch.Tensor]:
    """Float64 Gram matrices of the table and, given root frequencies, of the weighted table, in one pass over rows."""
    rows, size = table_DP.shape
    chunk_rows = max(1, CHUNK_ENTRIES // size)
    grams = torch.zeros((1 if root_D is None else 2, size, size), dtype=torch.float64, device=table_DP.device)
    for start in range(0, rows, chunk_rows):
        chunk_CP = table_DP[start : start + chunk_rows].double()
        grams[0].addmm_(chunk_CP.T, chunk_CP)
        if root_D is not None:
            weighted_CP = chunk_CP * root_D[start : start + chunk_rows, None]
            grams[1].addmm_(weighted_CP.T, weighted_CP)
    return list(grams)


def _field_rows(field: int, vocabulary_size: int, weighting: Weighting, spectra: _Spectra) -> list[FieldCollapse]:
    """One record per set and one for the concatenated sets."""
    parts: list[tuple[int | None, Spectrum]] = [*enumerate(spectra.sets), (None, spectra.concatenated)]
    return [
        FieldCollapse(
            field=field,
            vocabulary_size=vocabulary_size,
            set_index=set_index,
            weighting=weighting,
            dim=len(spectrum),
            spectrum=tuple(spectrum.tolist()),
            information_abundance=information_abundance(spectrum),
            ia_ratio=information_abundance(spectrum) / len(spectrum),
            effective_rank=effective_rank(spectrum),
            stable_rank=stable_rank(spectrum),
            participation_ratio=participation_ratio(spectrum),
            set_diversity=spectra.set_diversity if set_index is None else None,
        )
        for set_index, spectrum in parts
    ]


def _root_frequency(counts_D: NDArray[np.int64], field: int) -> torch.Tensor:
    """Square root of each id's share of occurrences; zeros where nothing occurred."""
    if counts_D.size and counts_D.min() < 0:
        raise DataError(
            f"field {field}: an id occurs {counts_D.min()} times, expected 0 or more; count the train split again"
        )
    return torch.from_numpy(np.sqrt(counts_D / max(int(counts_D.sum()), 1)))


def _finite(values: torch.Tensor, field: int) -> torch.Tensor:
    """The tensor itself; TrialError where it holds NaN or infinity."""
    if not bool(torch.isfinite(values).all()):
        raise TrialError(
            f"field {field}: its table holds NaN or infinite entries, expected finite ones; training diverged: "
            f"lower learning_rate or use precision fp32"
        )
    return values


def _check_shapes(
    weight_VP: Rows,
    vocabulary_sizes: Sequence[int],
    num_sets: int,
    counts: Sequence[NDArray[np.int64]] | None,
) -> None:
    """ConfigError where the tables, the vocabulary, the sets and the counts do not fit together."""
    if len(weight_VP.shape) != 2 or weight_VP.shape[0] != sum(vocabulary_sizes) or min(vocabulary_sizes, default=0) < 1:
        raise ConfigError(
            f"tables of shape {tuple(weight_VP.shape)} do not fit {len(vocabulary_sizes)} fields with "
            f"{sum(vocabulary_sizes)} ids in all; expected one row per id and at least one id per field"
        )
    if num_sets < 1 or weight_VP.shape[1] == 0 or weight_VP.shape[1] % num_sets:
        raise ConfigError(
            f"{weight_VP.shape[1]} columns do not divide into {num_sets} sets; expected num_sets * embed_dim columns"
        )
    if counts is not None and [len(counts_D) for counts_D in counts] != list(vocabulary_sizes):
        raise ConfigError(
            f"counts of {[len(counts_D) for counts_D in counts]} ids do not fit vocabulary sizes "
            f"{list(vocabulary_sizes)}; pass one array per field with one count per id"
        )
