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

from recscale.data.chunks import Chunk
from recscale.data.counting import chunk_counts
from recscale.data.encoding import TokenRule, as_is, hash_ids, log_squared, quantile_bins, quantile_edges
from recscale.data.manifest import FieldInfo
from recscale.data.options import NumericEncoding, PrepareOptions, VocabularyFrom
from recscale.data.placement import Placement
from recscale.data.refusals import reading
from recscale.data.sources.scan import Column, ColumnKind
from recscale.data.staging import Staged


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

    def ids(self, values: pa.Array) -> np.ndarray:
        """Ids int32 [V] of distinct source values."""
        tokens = self.rule(values)
        if self.info.kind == "hashed":
            return hash_ids(tokens, self.info.vocabulary_size - 1)
        found = pc.index_in(tokens, value_set=self.values.slice(1))
        id_V: np.ndarray = pc.add(pc.fill_null(found, -1), 1).to_numpy(zero_copy_only=False).astype(np.int32)
        return id_V


class VocabularyBuilder:
    """Merges the chunks' counts and numbers the values of one field after the other."""

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

    def build(self, numbered: tuple[int, Column]) -> Vocabulary:
        """The vocabulary of the field in a column: the most frequent value is id 1, ties by value.

        Fields may be built at the same time in several threads; DuckDB's memory limit is over all of them.
        """
        index, column = numbered
        with self.connection.cursor() as connection:
            rule = self._rule(connection, index, column)
            return self._built(connection, index, column, rule)

    def _built(self, connection: duckdb.DuckDBPyConnection, index: int, column: Column, rule: TokenRule) -> Vocabulary:
        decides = "train" if self.options.vocabulary_from is VocabularyFrom.TRAIN else "whole"
        buckets = self.options.hash_buckets if column.kind is ColumnKind.CATEGORICAL else None
        merged = "SELECT value, sum(train)::BIGINT AS train, sum(whole)::BIGINT AS whole FROM counts GROUP BY value"
        with reading(f"counting field {column.name!r}"), self._counts(connection, index, rule):
            counted = f"({merged})"
            if buckets is not None:
                connection.sql(f"CREATE TEMP TABLE counted AS {merged}")
                counted = "counted"
            usable = f"FROM {counted} WHERE {decides} >= {self.min_count}"
            if buckets is not None and connection.sql(f"SELECT count(*) {usable}").fetchall()[0][0] > buckets:
                return self._hashed(connection, column, rule, buckets)
            table = connection.sql(f"SELECT value, train {usable} ORDER BY {decides} DESC, value").to_arrow_table()
        return self._dictionary(column, rule, table)

    def _rule(self, connection: duckdb.DuckDBPyConnection, index: int, column: Column) -> TokenRule:
        if column.kind is ColumnKind.CATEGORICAL:
            return as_is
        if self.options.numeric_encoding is NumericEncoding.LOG_SQUARED:
            return log_squared
        query = (
            "SELECT value, sum(train)::BIGINT AS train FROM counts "
            "WHERE train > 0 AND NOT isnan(value) GROUP BY value ORDER BY value"
        )
        with reading(f"computing quantiles of {column.name!r}"), self._counts(connection, index, as_is):
            counted = connection.sql(query).to_arrow_table()
        value_V, count_V = (counted.column(name).to_numpy() for name in ("value", "train"))
        return quantile_bins(quantile_edges(value_V, count_V, self.options.num_quantiles))

    @contextmanager
    def _counts(self, connection: duckdb.DuckDBPyConnection, index: int, rule: TokenRule) -> Iterator[None]:
        """Lets DuckDB read every chunk's distinct values as `counts` (value, train, whole), made as they are read.

        What goes wrong in the making, an interruption too, comes out as itself and not as an error of DuckDB's.
        """
        failures: list[BaseException] = []

        def batches() -> Iterator[pa.RecordBatch]:
            try:
                yield from (_ruled_counts(chunk, index, rule) for chunk in self.staged.chunks[1:])
            except BaseException as error:
                failures.append(error)
                raise

        first = _ruled_counts(self.staged.chunks[0], index, rule)
        reader = pa.RecordBatchReader.from_batches(first.schema, itertools.chain([first], batches()))
        connection.register("counts", reader)
        try:
            yield
        except duckdb.Error:
            if failures:
                raise failures[0] from None
            raise
        connection.unregister("counts")

    def _dictionary(self, column: Column, rule: TokenRule, table: pa.Table) -> Vocabulary:
        kind = "numeric" if column.kind is ColumnKind.NUMERIC else "categorical"
        train_V = table.column("train").to_numpy()
        others = self.placement.split_rows[0] - int(train_V.sum())
        values = pa.concat_arrays([pa.nulls(1, pa.string()), *table.column("value").chunks])
        info = FieldInfo(column.name, kind, len(values), self.min_count)
        return Vocabulary(info, rule, values, np.concatenate([[others], train_V]).astype(np.int64))

    def _hashed(
        self, connection: duckdb.DuckDBPyConnection, column: Column, rule: TokenRule, buckets: int
    ) -> Vocabulary:
        count_V = np.zeros(buckets + 1, np.int64)
        for batch in connection.sql("SELECT value, train FROM counted WHERE train > 0").to_arrow_reader(1_000_000):
            ids = hash_ids(batch.column("value"), buckets)
            np.add.at(count_V, ids, batch.column("train").to_numpy())
        values = pa.array([None, *(f"bucket {number}" for number in range(buckets))], pa.string())
        return Vocabulary(FieldInfo(column.name, "hashed", buckets + 1, 1), rule, values, count_V)


def _ruled_counts(chunk: Chunk, index: int, rule: TokenRule) -> pa.RecordBatch:
    values, train, whole = chunk_counts(chunk, index)
    return pa.record_batch({"value": rule(values), "train": train, "whole": whole})
