"""Vocabularies: distinct values are counted out of core by DuckDB, then each value gets an id by falling count.

Legend: V distinct values of a chunk or of a field, B rows of a chunk.
"""

from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recscale.data.encoding import TokenRule, as_is, hash_ids, log_squared, quantile_bins, quantile_edges
from recscale.data.manifest import FieldInfo
from recscale.data.options import NumericEncoding, PrepareOptions, VocabularyFrom
from recscale.data.placement import Placement, in_train, places
from recscale.data.sources.scan import Column, ColumnKind, reading
from recscale.data.staging import Chunk, Staged


@dataclass(frozen=True)
class Vocabulary:
    """One field's values and their ids."""

    info: FieldInfo
    """Name, kind, size and threshold, as the manifest states them."""
    rule: TokenRule
    """From source values to the values that are counted."""
    values: pa.Array
    """String [V], null at id 0; for a hashed field the name of each bucket."""
    counts: np.ndarray
    """Occurrences in train, int64 [V]."""

    def encode(self, column: pa.DictionaryArray) -> np.ndarray:
        """Ids int32 [B] of a chunk's column."""
        tokens = self.rule(column.dictionary)
        if self.info.kind == "hashed":
            id_V = hash_ids(tokens, self.info.vocabulary_size - 1)
        else:
            found = pc.index_in(tokens, value_set=self.values.slice(1))
            id_V = pc.add(pc.fill_null(found, -1), 1).to_numpy(zero_copy_only=False).astype(np.int32)
        ids_B: np.ndarray = id_V[column.indices.to_numpy()]
        return ids_B


class VocabularyBuilder:
    """Counts and numbers the values of one field after the other."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        staged: Staged,
        placement: Placement,
        options: PrepareOptions,
        min_count: int,
    ) -> None:
        self.connection = connection
        self.staged = staged
        self.placement = placement
        self.options = options
        self.min_count = min_count

    def build(self, index: int, column: Column) -> Vocabulary:
        """The vocabulary of the field in column `index`: the most frequent value is id 1, ties by value."""
        rule = self._rule(index, column)
        self._count(index, rule, "VARCHAR")
        decides = "train" if self.options.vocabulary_from is VocabularyFrom.TRAIN else "whole"
        with reading(f"counting field {column.name!r}"):
            self.connection.sql(
                "CREATE OR REPLACE TABLE counted AS SELECT value, sum(train)::BIGINT AS train, "
                "sum(whole)::BIGINT AS whole FROM chunk_counts GROUP BY value"
            )
            usable = f"FROM counted WHERE {decides} >= {self.min_count}"
            kept = int(self.connection.sql(f"SELECT count(*) {usable}").fetchall()[0][0])
            buckets = self.options.hash_buckets
            if column.kind is ColumnKind.CATEGORICAL and buckets is not None and kept > buckets:
                return self._hashed(column, rule, buckets)
            table = self.connection.sql(f"SELECT value, train {usable} ORDER BY {decides} DESC, value").to_arrow_table()
        return self._dictionary(column, rule, table.combine_chunks())

    def _rule(self, index: int, column: Column) -> TokenRule:
        if column.kind is ColumnKind.CATEGORICAL:
            return as_is
        if self.options.numeric_encoding is NumericEncoding.LOG_SQUARED:
            return log_squared
        self._count(index, as_is, "DOUBLE")
        query = (
            "SELECT value, sum(train)::BIGINT AS train FROM chunk_counts "
            "WHERE train > 0 AND NOT isnan(value) GROUP BY value ORDER BY value"
        )
        with reading(f"computing quantiles of {column.name!r}"):
            counted = self.connection.sql(query).to_arrow_table()
        value_V, count_V = (counted.column(name).to_numpy() for name in ("value", "train"))
        return quantile_bins(quantile_edges(value_V, count_V, self.options.num_quantiles))

    def _count(self, index: int, rule: TokenRule, kind: str) -> None:
        """Fills chunk_counts (value, train, whole) with every chunk's distinct values."""
        self.connection.sql(f"CREATE OR REPLACE TABLE chunk_counts (value {kind}, train BIGINT, whole BIGINT)")
        for chunk in self.staged.chunks:
            counts = _chunk_counts(chunk, index, rule, self.placement)
            rows = self.connection.from_arrow(counts)
            with reading("counting values"):
                rows.insert_into("chunk_counts")

    def _dictionary(self, column: Column, rule: TokenRule, table: pa.Table) -> Vocabulary:
        kind = "numeric" if column.kind is ColumnKind.NUMERIC else "categorical"
        train_V = table.column("train").to_numpy()
        others = self.placement.split_rows[0] - int(train_V.sum())
        values = pa.concat_arrays([pa.nulls(1, pa.string()), *table.column("value").chunks])
        info = FieldInfo(column.name, kind, len(values), self.min_count)
        return Vocabulary(info, rule, values, np.concatenate([[others], train_V]).astype(np.int64))

    def _hashed(self, column: Column, rule: TokenRule, buckets: int) -> Vocabulary:
        count_V = np.zeros(buckets + 1, np.int64)
        for batch in self.connection.sql("SELECT value, train FROM counted WHERE train > 0").to_arrow_reader(1_000_000):
            ids = hash_ids(batch.column("value"), buckets)
            np.add.at(count_V, ids, batch.column("train").to_numpy())
        values = pa.array([None, *(f"bucket {number}" for number in range(buckets))], pa.string())
        return Vocabulary(FieldInfo(column.name, "hashed", buckets + 1, 1), rule, values, count_V)


def _chunk_counts(chunk: Chunk, index: int, rule: TokenRule, placement: Placement) -> pa.Table:
    column = chunk.open().column(f"f{index}")
    code_B = column.indices.to_numpy()
    train = np.bincount(code_B[in_train(chunk, placement)], minlength=len(column.dictionary))
    whole = np.bincount(code_B[places(chunk) >= 0], minlength=len(column.dictionary))
    return pa.table({"value": rule(column.dictionary), "train": train, "whole": whole})
