"""The search for a cell's settings: its ranges, and when a sample of it is stopped."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from recscale.errors import ConfigError
from recscale.records import ModelSpec, TrialSpec, canonical_json, to_plain
from recscale.study.tuned import TUNED_FIELDS, SearchPoint, untuned_point

LOGARITHMIC = ("learning_rate", "weight_decay")
"""Settings whose orders of magnitude are searched evenly."""


@dataclass(frozen=True)
class SearchOptions:
    """How the settings of a cell are searched; a range whose ends are equal keeps that value."""

    samples: int = 16
    """Points tried per cell; the first is the untuned settings."""
    learning_rate_range: tuple[float, float] = (1e-4, 1e-2)
    """Learning rates to search, on a logarithmic scale."""
    weight_decay_range: tuple[float, float] = (1e-8, 1e-4)
    """Weight decays to search, on a logarithmic scale; 0 0 trains without."""
    dropout_range: tuple[float, float] = (0.0, 0.5)
    """Dropout probabilities to search."""
    grace_evaluations: int = 1
    """Evaluations that every sample gets before it can be stopped."""
    reduction_factor: float = 3.0
    """At 1, 3, 9, ... times the grace, the best one in so many of the samples seen so far goes on (ASHA)."""
    search_seed: int = 1000
    """Seed of the search and of every sample's training; not one of the seeds that judge the winners."""

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of every tuned setting."""
        return {name: getattr(self, f"{name}_range") for name in TUNED_FIELDS}


EDGE_SHARE = 0.05
"""A value in this share of a range's length from one of its ends is near that end."""


def near_edges(options: SearchOptions, point: SearchPoint) -> tuple[str, ...]:
    """Settings whose value is near an end of the searched range, beyond which a better one may be; 0 is no such end."""
    return tuple(name for name, ends in options.ranges.items() if _near_edge(name, *ends, getattr(point, name)))


def _near_edge(name: str, low: float, high: float, value: float) -> bool:
    if low == high:
        return False
    if name in LOGARITHMIC:
        low, high, value = math.log(low), math.log(high), math.log(value)
        return min(value - low, high - value) < EDGE_SHARE * (high - low)
    return high - value < EDGE_SHARE * (high - low) or (low > 0 and value - low < EDGE_SHARE * (high - low))


@dataclass(frozen=True)
class SearchCell:
    """One family, scale and number of sets, and how its settings are searched."""

    spec: TrialSpec
    """The cell's trial with the search's seed and its untuned settings."""
    options: SearchOptions
    """Ranges, stopping and number of samples."""

    @cached_property
    def cell_id(self) -> str:
        """Identity of the search: of everything but the number of samples, so that a larger one adds to a smaller."""
        plain = [to_plain(self.spec), to_plain(replace(self.options, samples=0))]
        return hashlib.sha256(canonical_json(plain).encode()).hexdigest()[:12]

    @property
    def name(self) -> str:
        """The cell as a user reads it."""
        return cell_name(self.spec.model)


def cell_name(model: ModelSpec) -> str:
    """Family, scale and sets as a user reads them."""
    return f"{model.family} scale={model.scale:g} sets={model.num_sets}"


def check_search(options: SearchOptions, seeds: int, specs: Sequence[TrialSpec]) -> None:
    """ConfigError where nothing can be searched so, or where a cell's untuned settings are outside the ranges."""
    if options.samples < 1:
        raise ConfigError(f"samples is {options.samples}, expected at least 1: the first is the untuned settings")
    if options.search_seed < seeds:
        raise ConfigError(
            f"search_seed is {options.search_seed}, expected at least {seeds}: seeds 0 to {seeds - 1} judge the winners"
        )
    if options.grace_evaluations < 1:
        raise ConfigError(f"grace_evaluations is {options.grace_evaluations}, expected at least 1")
    if not options.reduction_factor > 1:
        raise ConfigError(f"reduction_factor is {options.reduction_factor:g}, expected more than 1")
    for name, (low, high) in options.ranges.items():
        _check_range(name, low, high, specs)
    if all(low == high for low, high in options.ranges.values()):
        raise ConfigError("every range has equal ends, so there is nothing to search; widen one")


def _check_range(name: str, low: float, high: float, specs: Sequence[TrialSpec]) -> None:
    if not (0 <= low <= high and math.isfinite(high)):
        raise ConfigError(f"{name}_range is {low:g} {high:g}, expected two numbers from 0 up, the smaller one first")
    if name == "dropout" and high >= 1:
        raise ConfigError(f"dropout_range ends at {high:g}, expected probabilities below 1")
    if name in LOGARITHMIC and low == 0 and high > 0:
        raise ConfigError(f"{name}_range starts at 0, which a logarithmic scale does not reach; use e.g. 1e-8")
    for spec in specs:
        untuned = getattr(untuned_point(spec), name)
        if low < high and not low <= untuned <= high:
            raise ConfigError(
                f"{name} is {untuned:g}, outside {name}_range {low:g} {high:g}: the untuned settings are the first "
                f"sample; widen the range or change {name}"
            )
