"""The tables behind the toy experiment's figures, from the looks of its runs."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dashboards.collapse_results import ToyLook
from dashboards.tables import grouped


class Push(StrEnum):
    """What a line over the directions of another field's table shows."""

    ALPHA = "alpha"
    SPECTRUM = "spectrum"
    PRODUCT = "product"
    ENERGY = "energy"


@dataclass(frozen=True)
class ToyCurve:
    """IA(E_1) against step, of all seeds of one size of the third field."""

    third_size: int
    """Ids of the third field."""
    steps: tuple[int, ...]
    """When E_1 was looked at."""
    mean: tuple[float, ...]
    """Mean over seeds."""
    seeds: tuple[tuple[int, tuple[float, ...]], ...]
    """Seed and its values."""


@dataclass(frozen=True)
class PushLine:
    """One number per direction of one field's table, mean over seeds."""

    field: str
    """Which field, and how many ids the third has."""
    third_size: int
    """Ids of the third field."""
    is_third: bool
    """Whether it is the third field's table, else the second's."""
    values: tuple[float, ...]
    """By singular value, largest first."""
    seeds: int
    """Seeds."""


def dims(looks: tuple[ToyLook, ...]) -> list[int]:
    """The K that were run."""
    return sorted({look.embed_dim for look in looks})


def toy_curves(looks: tuple[ToyLook, ...], dim: int) -> list[ToyCurve]:
    """IA(E_1) per size of the third field, smallest first."""
    sizes = grouped((look.third_size, look) for look in looks if look.embed_dim == dim)
    curves = []
    for size, group in sorted(sizes.items()):
        seeds = grouped((look.seed, look) for look in sorted(group, key=lambda look: (look.seed, look.step)))
        values = [(seed, tuple(look.information_abundance for look in run)) for seed, run in seeds.items()]
        curves.append(
            ToyCurve(
                third_size=size,
                steps=tuple(look.step for look in next(iter(seeds.values()))),
                mean=tuple(np.mean([run for _, run in values], axis=0).tolist()),
                seeds=tuple(values),
            )
        )
    return curves


def push_lines(looks: tuple[ToyLook, ...], dim: int, push: Push, last: bool) -> list[PushLine]:
    """Third fields by size, then the second field beside the smallest third; at the last look or the first."""
    chosen = [look for look in ends(looks, last) if look.embed_dim == dim]
    by_size = sorted(grouped((look.third_size, look) for look in chosen).items())
    lines = [_line(f"field 3 of {size} ids", size, True, group, push) for size, group in by_size]
    return lines + [_line("field 2", size, False, group, push) for size, group in by_size[:1]]


def ends(looks: tuple[ToyLook, ...], last: bool) -> list[ToyLook]:
    """The first or the last look of every run."""
    runs = grouped(((look.embed_dim, look.third_size, look.seed), look) for look in looks)
    pick = max if last else min
    return [pick(run, key=lambda look: look.step) for run in runs.values()]


def _line(field: str, size: int, is_third: bool, group: list[ToyLook], push: Push) -> PushLine:
    values = np.mean([_values(look, "third" if is_third else "second", push) for look in group], axis=0)
    return PushLine(field, size, is_third, tuple(values.tolist()), len(group))


def _values(look: ToyLook, field: str, push: Push) -> np.ndarray:
    if push is Push.PRODUCT:
        product: np.ndarray = _values(look, field, Push.ALPHA) * _values(look, field, Push.SPECTRUM)
        return product
    return np.array(getattr(look, f"{field}_{push.value}"))
