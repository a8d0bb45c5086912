"""How many seeds an effect needs to be seen."""

import math
from dataclasses import dataclass

from recscale.curves.chance import normal_quantile, t_quantile
from recscale.errors import ConfigError

MOST_SEEDS = 100_000
"""Beyond this an effect is called out of reach."""


@dataclass(frozen=True)
class SeedPlan:
    """Seeds per arm that show an effect."""

    effect: float
    """Difference of two means to be seen."""
    noise: float
    """Standard deviation between seeds of one arm."""
    power: float
    """Probability of seeing it."""
    alpha: float
    """Two-sided level of the test."""
    seeds: int
    """Seeds per arm by the two-sample t test, which must estimate the noise from the same few seeds."""
    seeds_if_noise_known: int
    """Seeds per arm by the normal test, for a noise known beforehand, for instance pooled over many cells."""


def seeds_needed(effect: float, noise: float, *, power: float = 0.8, alpha: float = 0.05) -> SeedPlan:
    """Fewest seeds per arm at which two arms that differ by `effect` are told apart. ConfigError: what cannot be."""
    _check(effect, noise, power, alpha)
    ratio = effect / noise if noise > 0 else math.inf
    normal = 2 * ((normal_quantile(1 - alpha / 2) + normal_quantile(power)) / ratio) ** 2
    if normal > MOST_SEEDS:
        raise ConfigError(
            f"an effect of {effect:g} at a noise of {noise:g} needs about {normal:.3g} seeds per arm; "
            f"expected at most {MOST_SEEDS:,}: ask for a larger effect"
        )
    known = max(math.ceil(normal), 1)
    seeds = max(known, 2)
    while t_power(ratio, seeds, alpha) < power:
        seeds += 1
    return SeedPlan(effect, noise, power, alpha, seeds, known)


def t_power(ratio: float, seeds: int, alpha: float) -> float:
    """Power of the two-sided two-sample t test for an effect of `ratio` standard deviations, by the noncentral t."""
    if math.isinf(ratio):
        return 1.0
    from scipy.stats import nct  # only here: it takes half a second

    freedom, shift = 2 * (seeds - 1), ratio * math.sqrt(seeds / 2)
    critical = t_quantile(1 - alpha / 2, freedom)
    return float(nct.sf(critical, freedom, shift) + nct.cdf(-critical, freedom, shift))


def _check(effect: float, noise: float, power: float, alpha: float) -> None:
    if not (effect > 0 and math.isfinite(effect)):
        raise ConfigError(f"an effect of {effect:g}; expected a finite difference above 0, for instance 2e-4")
    if not (noise >= 0 and math.isfinite(noise)):
        raise ConfigError(f"a noise of {noise:g}; expected a standard deviation of at least 0")
    if not (0 < alpha < power < 1):
        raise ConfigError(f"power {power:g} at level {alpha:g}; expected 0 < alpha < power < 1, as 0.8 and 0.05")
