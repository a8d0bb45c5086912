"""Sub-embeddings: what each field shows to each other field, and its abundance (Guo et al. 2024, Evidence I).

E_i^{->j} = E_i W_{i->j}^T. Its singular values are the roots of the eigenvalues of W G_i W^T, with G_i = E_i^T E_i of
the table in float64, so no sub-embedding is ever made. A block of zeros means that field i shows nothing to j.

Legend: V rows of all fields, M embedding sets, N fields, K columns that a set has per id, P = M*K, J columns of a
sub-embedding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import torch

from recscale.collapse.measurement import SUB_EMBEDDINGS_SCHEMA
from recscale.collapse.spectra import effective_rank, information_abundance, spectrum_of_gram
from recscale.collapse.tables import Rows, field_tables, gram_matrices
from recscale.errors import ConfigError


@dataclass(frozen=True)
class SubEmbedding:
    """The abundance of E_i^{->j} in one set."""

    set_index: int
    """Index of the embedding set."""
    field: int
    """Index i of the field whose table it is."""
    toward: int
    """Index j of the field that it is shown to."""
    vocabulary_size: int
    """Ids of field i."""
    dim: int
    """min(J, K): the most that the abundance can be, given ids enough."""
    information_abundance: float
    """IA(E_i^{->j})."""
    ia_ratio: float
    """IA / min(J, K)."""
    effective_rank: float
    """exp of the entropy of the normalised spectrum."""
    table_information_abundance: float
    """IA(E_i), by which the paper sorts fields."""


@dataclass(frozen=True)
class _SetTable:
    """One set's columns of a field's rows."""

    rows: Rows
    """All sets' columns."""
    columns: slice
    """The set's."""

    @property
    def shape(self) -> torch.Size:
        """Rows and columns."""
        return torch.Size((self.rows.shape[0], self.columns.stop - self.columns.start))

    @property
    def device(self) -> torch.device:
        """Where slices lie."""
        return self.rows.device

    def __getitem__(self, rows: slice) -> torch.Tensor:
        """Consecutive rows."""
        return self.rows[rows][:, self.columns]


def measure_sub_embeddings(
    weight_VP: Rows, num_sets: int, vocabulary_sizes: Sequence[int], blocks_MNNJK: torch.Tensor
) -> tuple[SubEmbedding, ...]:
    """One row per set and pair of fields whose block is not zero, by set, i and j.

    Where all sets share an interaction (blocks of one set) or tables (weights of one set), the one serves every other.
    ConfigError where tables and blocks do not fit.
    """
    _check_shapes(weight_VP, num_sets, vocabulary_sizes, blocks_MNNJK)
    rows: list[SubEmbedding] = []
    dim = weight_VP.shape[1] // num_sets
    with torch.no_grad():
        tables = field_tables(weight_VP, vocabulary_sizes)
        for set_index in range(max(num_sets, len(blocks_MNNJK))):
            blocks_NNJK = blocks_MNNJK[set_index % len(blocks_MNNJK)].detach()
            first = set_index % num_sets * dim
            for field, table_DP in enumerate(tables):
                table_DK = _SetTable(table_DP, slice(first, first + dim))
                rows.extend(_of_field(set_index, field, table_DK, blocks_NNJK[field]))
    return tuple(rows)


def _of_field(set_index: int, field: int, table_DK: Rows, blocks_NJK: torch.Tensor) -> Iterator[SubEmbedding]:
    """The row of every field that this one shows something to."""
    (gram_KK,) = gram_matrices(table_DK, None)
    wide_NJK = blocks_NJK.double()
    shown_NJJ = (wide_NJK @ gram_KK @ wide_NJK.transpose(1, 2)).cpu()
    present = blocks_NJK.flatten(1).any(1).tolist()
    whole = information_abundance(spectrum_of_gram(gram_KK.cpu()))
    dim = min(blocks_NJK.shape[1:])
    for toward, shown_JJ in enumerate(shown_NJJ):
        if not present[toward]:
            continue
        spectrum = spectrum_of_gram(shown_JJ)
        abundance = information_abundance(spectrum)
        yield SubEmbedding(
            set_index=set_index,
            field=field,
            toward=toward,
            vocabulary_size=table_DK.shape[0],
            dim=dim,
            information_abundance=abundance,
            ia_ratio=abundance / dim,
            effective_rank=effective_rank(spectrum),
            table_information_abundance=whole,
        )


def sub_embeddings_table(rows: Sequence[SubEmbedding], field_names: Sequence[str]) -> pa.Table:
    """The rows with SUB_EMBEDDINGS_SCHEMA's columns, fields by name."""
    named = [{**vars(row), "field": field_names[row.field], "toward": field_names[row.toward]} for row in rows]
    return pa.Table.from_pylist(named, schema=SUB_EMBEDDINGS_SCHEMA)


def _check_shapes(weight_VP: Rows, sets: int, vocabulary_sizes: Sequence[int], blocks_MNNJK: torch.Tensor) -> None:
    fields = len(vocabulary_sizes)
    rows, columns = weight_VP.shape[0], weight_VP.shape[1] // sets
    block_sets, *pairs, _, block_columns = blocks_MNNJK.shape
    fits = rows == sum(vocabulary_sizes) and pairs == [fields, fields] and block_columns == columns
    if not fits or (sets != block_sets and 1 not in (sets, block_sets)):
        raise ConfigError(
            f"blocks of shape {tuple(blocks_MNNJK.shape)} do not fit tables of shape {(rows, sets, columns)} and "
            f"{fields} fields; expected cross_blocks() to be [{sets} or 1, {fields}, {fields}, J, {columns}]"
        )
