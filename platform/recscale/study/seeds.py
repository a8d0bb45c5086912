"""How many seeds the next study needs, by the noise between this one's seeds."""

import math
from collections.abc import Sequence

from recscale.curves.planner import SeedPlan, seeds_needed
from recscale.curves.scaling import gather, pooled_std
from recscale.errors import ConfigError, DataError
from recscale.study.curves import METRICS, Finished, by_family, cells_of, observe
from recscale.study.study import Study


def plan_seeds(study: Study, metric: str, effect: float, *, power: float = 0.8, alpha: float = 0.05) -> str:
    """A line per family and one for all. ConfigError: no such metric. DataError: no cell has two finished seeds."""
    if metric not in METRICS:
        raise ConfigError(f"no metric is called {metric!r}; expected one of {', '.join(METRICS)}")
    finished = study.store.finished(study.spec.trials)
    noises = family_noises(finished, metric)
    if not noises:
        raise DataError(
            f"{study.spec.name} shows no noise between seeds: {len(finished)} finished trials, no two of which differ "
            f"in their seed only; run it with --seeds 2 or more"
        )
    lines = [f"{metric}: seeds per arm to see {effect:g} with power {power:g} at two-sided level {alpha:g}"]
    for label, (noise, freedom) in {**noises, "all families": _pooled(list(noises.values()))}.items():
        lines.append(_line(label, seeds_needed(effect, noise, power=power, alpha=alpha), freedom))
    return "\n".join(lines)


def family_noises(finished: Sequence[Finished], metric: str) -> dict[str, tuple[float, int]]:
    """Per family and variant the standard deviation between seeds, pooled over cells, and its degrees of freedom."""
    noises = {}
    for (family, variant), members in by_family(finished):
        cells = [gather([observe(trial, metric) for trial in cell])[0] for cell in cells_of(members).values()]
        noise = pooled_std(cells)
        if noise is not None:
            noises[f"{family} ({variant})"] = (noise, sum(cell.seeds - 1 for cell in cells))
    return noises


def _pooled(noises: list[tuple[float, int]]) -> tuple[float, int]:
    freedom = sum(count for _, count in noises)
    return math.sqrt(sum(noise**2 * count for noise, count in noises) / freedom), freedom


def _line(label: str, plan: SeedPlan, freedom: int) -> str:
    return (
        f"{label}: {plan.seeds} seeds ({plan.seeds_if_noise_known} if the noise is known beforehand); "
        f"noise {plan.noise:.3g} from {freedom} degrees of freedom"
    )
