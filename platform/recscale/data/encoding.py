"""From source values to the values of a vocabulary: as they are, by the log-squared rule, by quantile bins, by hash.

Everything here works on the distinct values of a chunk of rows, never on the rows. Missing is a value of its own: ''.
"""

import hashlib
import itertools
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MISSING = ""
TokenRule = Callable[[pa.Array], pa.Array]
"""Distinct source values (string, or double with NaN for missing) to vocabulary values (string), one each."""


def as_is(values: pa.Array) -> pa.Array:
    """Text stays as it is."""
    return values


def log_squared(values: pa.Array) -> pa.Array:
    """v - 2 up to 2, else floor(ln(v)^2) (Guo et al. 2024, appendix); a fraction up to 2 is rounded down first."""
    value_V = values.to_numpy(zero_copy_only=False)
    small_V = np.floor(np.minimum(value_V, 2.0)) - 2.0
    large_V = np.floor(np.log(np.maximum(value_V, 2.0)) ** 2)
    code_V = np.where(value_V <= 2.0, small_V, large_V)
    whole_V = np.nan_to_num(code_V).clip(-1e15, 1e15).astype(np.int64)
    return _with_missing(value_V, pc.cast(pa.array(whole_V), pa.string()))


def quantile_bins(edge_E: np.ndarray) -> TokenRule:
    """Bins between ascending edges float64 [E]: the value of a bin is its interval, closed on the left."""
    bound = ["-inf", *(f"{edge:.17g}" for edge in edge_E.tolist()), "inf"]
    labels = pa.array([f"[{low}, {high})" for low, high in itertools.pairwise(bound)])

    def tokens(values: pa.Array) -> pa.Array:
        value_V = values.to_numpy(zero_copy_only=False)
        bin_V = np.searchsorted(edge_E, np.nan_to_num(value_V), side="right")
        return _with_missing(value_V, labels.take(pa.array(bin_V)))

    return tokens


def quantile_edges(value_V: np.ndarray, count_V: np.ndarray, num_quantiles: int) -> np.ndarray:
    """Inner edges float64 [E <= num_quantiles - 1], ascending, so that bins hold about equal counts.

    `value_V` ascending distinct values, `count_V` their train counts; an edge is the smallest value whose cumulative
    count exceeds q/num_quantiles of all, and equal edges are one edge, so a frequent value makes a wide bin.
    """
    if len(value_V) == 0:
        return np.empty(0)
    cumulative_V = np.cumsum(count_V)
    wanted = cumulative_V[-1] * np.arange(1, num_quantiles) / num_quantiles
    edges = np.unique(value_V[np.searchsorted(cumulative_V, wanted, side="right")])
    inner: np.ndarray = edges[edges > value_V[0]]
    return inner


def hash_ids(tokens: pa.Array, buckets: int) -> np.ndarray:
    """Ids int32 1..buckets: 1 + (the first 8 bytes of md5 as a little-endian number) mod buckets."""
    digests = (hashlib.md5(token.encode(), usedforsecurity=False).digest()[:8] for token in tokens.to_pylist())
    return np.fromiter((1 + int.from_bytes(digest, "little") % buckets for digest in digests), np.int32, len(tokens))


def _with_missing(value_V: np.ndarray, tokens: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(np.isnan(value_V)), pa.scalar(MISSING), tokens)
