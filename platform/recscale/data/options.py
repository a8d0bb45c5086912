"""What a user can choose about a preparation, whatever the format of the source."""

import dataclasses
import re
from dataclasses import dataclass
from enum import StrEnum

from recscale.errors import ConfigError
from recscale.records import canonical_json, to_plain

MEMORY_LIMIT = re.compile(r"(\d+(?:\.\d+)?)\s?(MB|GB|TB|MiB|GiB|TiB)")


class VocabularyFrom(StrEnum):
    """Which rows decide what is in a vocabulary."""

    TRAIN = "train"
    ALL = "all"


class NumericEncoding(StrEnum):
    """How a number becomes a value of a vocabulary."""

    LOG_SQUARED = "log_squared"
    QUANTILE = "quantile"


class Duplicates(StrEnum):
    """What happens to rows that repeat an earlier row, label included."""

    KEEP = "keep"
    DROP = "drop"


@dataclass(frozen=True)
class PrepareOptions:
    """Everything about a preparation that does not depend on the source's format."""

    min_count: int | None = None
    """Values seen fewer times than this share id 0; None takes the source's own: criteo 10, avazu 4, others 2."""
    vocabulary_from: VocabularyFrom = VocabularyFrom.TRAIN
    """Rows that are counted: train, or all (the paper's released code; valid and test then have a say)."""
    hash_buckets: int | None = None
    """Categorical fields with more kept values than this are hashed into this many ids; None never hashes."""
    numeric_encoding: NumericEncoding = NumericEncoding.LOG_SQUARED
    """log_squared: v - 2 up to 2, else floor(ln(v)^2), as in the paper; quantile: bins of equal train counts."""
    num_quantiles: int = 32
    """Bins per numeric field under numeric_encoding quantile."""
    split_fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Shares of train, valid and test where the source does not split itself."""
    seed: int = 0
    """Seed of the split and of the order of rows."""
    max_bad_rows: float = 0.001
    """Share of rows that may be unusable before preparation stops; those rows are counted and sampled, never hidden."""
    duplicates: Duplicates = Duplicates.KEEP
    """drop: only the first of identical rows is kept, before the split, so that none leaks across splits."""
    memory_limit: str = "2GB"
    """Half of it is what DuckDB may use before it spills to the destination's disk; the rest is for rows and shards."""

    def __post_init__(self) -> None:
        """Refuses values that no preparation can honour."""
        if self.min_count is not None and self.min_count < 1:
            raise ConfigError(f"min_count is {self.min_count}; expected 1 or more")
        if self.hash_buckets is not None and self.hash_buckets < 1:
            raise ConfigError(f"hash_buckets is {self.hash_buckets}; expected 1 or more")
        if self.num_quantiles < 2:
            raise ConfigError(f"num_quantiles is {self.num_quantiles}; expected 2 or more")
        if min(self.split_fractions) <= 0 or abs(sum(self.split_fractions) - 1) > 1e-9:
            raise ConfigError(f"split_fractions are {self.split_fractions}; expected three shares above 0, sum 1")
        if not 0 <= self.max_bad_rows < 1:
            raise ConfigError(f"max_bad_rows is {self.max_bad_rows}; expected a share of at least 0 and below 1")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed is {self.seed}; expected a whole number from 0 to 2^63 - 1")
        if not MEMORY_LIMIT.fullmatch(self.memory_limit):
            raise ConfigError(f"memory_limit is {self.memory_limit!r}; expected a size such as 2GB or 500MB")

    @property
    def database_memory(self) -> str:
        """DuckDB's half of the memory limit."""
        size = MEMORY_LIMIT.fullmatch(self.memory_limit)
        assert size is not None
        return f"{float(size[1]) / 2}{size[2]}"


def as_text(record: object) -> dict[str, str]:
    """Options by name as text, for the manifest; what has no say in the content (memory, paths) stays out."""
    plain = to_plain(record)
    silent = {"memory_limit", "src", "train", "valid", "test"}
    assert dataclasses.is_dataclass(record)
    return {
        name: value if isinstance(value, str) else canonical_json(value)
        for name, value in plain.items()
        if name not in silent
    }
