"""Vocabularies: distinct values are counted out of core by DuckDB, then each value gets an id by falling count.

Legend: V distinct values of a chunk or of a field, B rows of a chunk.
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recscale.data.encoding import TokenRule, as_is, hash_ids, log_squared, quantile_bins, quantile_edges
from recscale.data.manifest import FieldInfo
from recscale.data.options import NumericEncoding, PrepareOptions, VocabularyFrom
from recscale.data.placement import Placement, kept_rows, train_rows
from recscale.data.refusals import reading
from recscale.data.sources.scan import Column, ColumnKind
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

    def encode(self, column: pa.DictionaryArray, rows: np.ndarray) -> np.ndarray:
        """Ids int32 [B] of some rows of a chunk's column."""
        tokens = self.rule(column.dictionary)
        if self.info.kind == "hashed":
            id_V = hash_ids(tokens, self.info.vocabulary_size - 1)
        else:
            found = pc.index_in(tokens, value_set=self.values.slice(1))
            id_V = pc.add(pc.fill_null(found, -1), 1).to_numpy(zero_copy_only=False).astype(np.int32)
        return np.take(id_V, np.take(column.indices.to_numpy(), rows))


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
        decides = "train" if self.options.vocabulary_from is VocabularyFrom.TRAIN else "whole"
        buckets = self.options.hash_buckets if column.kind is ColumnKind.CATEGORICAL else None
        least = self.min_count if buckets is None else 1
        with reading(f"counting field {column.name!r}"), self._counts(index, rule):
            self.connection.sql(
                f"CREATE OR REPLACE TABLE counted AS SELECT value, sum(train)::BIGINT AS train, "
                f"sum(whole)::BIGINT AS whole FROM counts GROUP BY value HAVING sum({decides}) >= {least}"
            )
            usable = f"FROM counted WHERE {decides} >= {self.min_count}"
            if buckets is not None and self.connection.sql(f"SELECT count(*) {usable}").fetchall()[0][0] > buckets:
                return self._hashed(column, rule, buckets)
            table = self.connection.sql(f"SELECT value, train {usable} ORDER BY {decides} DESC, value").to_arrow_table()
        return self._dictionary(column, rule, table)

    def _rule(self, index: int, column: Column) -> TokenRule:
        if column.kind is ColumnKind.CATEGORICAL:
            return as_is
        if self.options.numeric_encoding is NumericEncoding.LOG_SQUARED:
            return log_squared
        query = (
            "SELECT value, sum(train)::BIGINT AS train FROM counts "
            "WHERE train > 0 AND NOT isnan(value) GROUP BY value ORDER BY value"
        )
        with reading(f"computing quantiles of {column.name!r}"), self._counts(index, as_is):
            counted = self.connection.sql(query).to_arrow_table()
        value_V, count_V = (counted.column(name).to_numpy() for name in ("value", "train"))
        return quantile_bins(quantile_edges(value_V, count_V, self.options.num_quantiles))

    @contextmanager
    def _counts(self, index: int, rule: TokenRule) -> Iterator[None]:
        """Lets DuckDB read every chunk's distinct values as `counts` (value, train, whole), made as they are read.

        What goes wrong in the making, an interruption too, comes out as itself and not as an error of DuckDB's.
        """
        failures: list[BaseException] = []

        def batches() -> Iterator[pa.RecordBatch]:
            try:
                yield from (self._chunk_counts(chunk, index, rule) for chunk in self.staged.chunks[1:])
            except BaseException as error:
                failures.append(error)
                raise

        first = self._chunk_counts(self.staged.chunks[0], index, rule)
        reader = pa.RecordBatchReader.from_batches(first.schema, itertools.chain([first], batches()))
        self.connection.register("counts", reader)
        try:
            yield
        except duckdb.Error:
            if failures:
                raise failures[0] from None
            raise
        self.connection.unregister("counts")

    def _chunk_counts(self, chunk: Chunk, index: int, rule: TokenRule) -> pa.RecordBatch:
        column = chunk.open().column(f"f{index}")
        code_B = column.indices.to_numpy()
        train = np.bincount(np.take(code_B, train_rows(chunk, self.placement)), minlength=len(column.dictionary))
        whole = train
        if self.options.vocabulary_from is VocabularyFrom.ALL:
            whole = np.bincount(np.take(code_B, kept_rows(chunk)), minlength=len(column.dictionary))
        return pa.record_batch({"value": rule(column.dictionary), "train": train, "whole": whole})

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
