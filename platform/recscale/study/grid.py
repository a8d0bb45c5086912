"""The grid of a study: axes in, resolved trials out; points that cannot be built are refused by name."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, get_type_hints

from pydantic import TypeAdapter, ValidationError

from recscale.errors import ConfigError
from recscale.models.specs import base_dim_of, check_spec
from recscale.records import ModelSettings, ModelSpec, Refusal, TrainSpec, TrialGroup, TrialSpec, Variant

SETS_FOLLOW_SCALE = "scale"
"""Value of the sets axis that means as many sets as the scale: embed_dim stays base_dim."""
OWN_AXES = ("family", "variant", "scale", "num_sets", "base_dim")
"""Model fields that the grid sets from its own axes."""


@dataclass(frozen=True)
class Axis:
    """A further axis of the grid: any other field of ModelSpec or TrainSpec."""

    field: str
    """Name of the field, e.g. learning_rate or cross_layers."""
    values: tuple[str, ...]
    """Values as text, read by the field's type."""


class CellSettings(Protocol):
    """Settings that every cell has for itself, such as those that a search found."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the settings, of ModelSpec or TrainSpec."""

    def settle(self, model: ModelSpec, train: TrainSpec) -> tuple[ModelSpec, TrainSpec]:
        """The cell with its own settings in place of the grid's; ConfigError where it has none."""


@dataclass(frozen=True)
class Grid:
    """The axes of a study, not yet multiplied out."""

    families: tuple[str, ...]
    """Registered families or dotted modules of the user's own."""
    scales: tuple[float, ...]
    """Embedding budgets as multiples of base_dim."""
    sets: tuple[str, ...]
    """Numbers of sets, each an integer or `scale`."""
    seeds: int
    """Seeds per cell: 0 .. seeds - 1."""
    variant: Variant
    """paper | fair."""
    base_dim: int | None
    """Embedding budget at scale 1; None is each family's own (paper: 10, nfwfm 50)."""
    model: ModelSettings
    """Remaining model settings."""
    train: TrainSpec
    """Training settings."""
    axes: tuple[Axis, ...] = ()
    """Further axes."""
    name: str = ""
    """What tells its trials from those of a study's other grids, e.g. tuned; empty where nothing needs to."""
    per_cell: CellSettings | None = None
    """Settings that every cell has for itself, in place of the grid's; None where all share the grid's."""


@dataclass(frozen=True)
class ResolvedGrid:
    """What a grid comes to."""

    trials: tuple[TrialSpec, ...]
    """Every distinct trial, in the order of the axes, seeds innermost."""
    refused: tuple[Refusal, ...]
    """Points that cannot be built."""
    groups: tuple[TrialGroup, ...] = ()
    """The trials of every named grid."""


def resolve(grid: Grid, dataset_fingerprint: str) -> ResolvedGrid:
    """Multiplies the axes out; ConfigError where an axis is empty, unknown or nothing is left."""
    return resolve_all((grid,), dataset_fingerprint)


def resolve_all(grids: Sequence[Grid], dataset_fingerprint: str) -> ResolvedGrid:
    """The union of several grids, each point once; ConfigError where an axis is empty, unknown or nothing is left."""
    resolved = [_resolve(grid, dataset_fingerprint) for grid in grids]
    trials = dict.fromkeys(trial for part in resolved for trial in part.trials)
    refused = dict.fromkeys(refusal for part in resolved for refusal in part.refused)
    if not trials:
        raise ConfigError(f"no point of the grid can be built: {'; '.join(refusal.reason for refusal in refused)}")
    return ResolvedGrid(tuple(trials), tuple(refused), _joined([group for part in resolved for group in part.groups]))


def _resolve(grid: Grid, dataset_fingerprint: str) -> ResolvedGrid:
    """One grid multiplied out, of which nothing may be left."""
    _check(grid)
    trials: dict[str, TrialSpec] = {}
    refused: dict[str, Refusal] = {}
    for family, scale, sets in itertools.product(grid.families, grid.scales, grid.sets):
        try:
            models = _models(grid, family, scale, sets)
        except ConfigError as error:
            point = f"{family} scale={scale:g} sets={sets}"
            refused[point] = Refusal(point, str(error))
            continue
        for (model, train), seed in itertools.product(models, range(grid.seeds)):
            spec = TrialSpec(dataset_fingerprint, model, train, seed)
            trials[spec.trial_id] = spec
    return ResolvedGrid(tuple(trials.values()), tuple(refused.values()), _groups(grid, tuple(trials)))


def check_cells(grid: Grid, dataset_fingerprint: str) -> None:
    """ConfigError where a cell of the grid has no settings of its own, or where an axis is one of those settings."""
    if grid.per_cell is None:
        return
    for axis in grid.axes:
        if axis.field in grid.per_cell.fields:
            raise ConfigError(f"axis {axis.field} is a setting that every cell has for itself; drop one of the two")
    for spec in resolve(replace(grid, per_cell=None), dataset_fingerprint).trials:
        grid.per_cell.settle(spec.model, spec.train)


def _groups(grid: Grid, trial_ids: tuple[str, ...]) -> tuple[TrialGroup, ...]:
    """The group of a named grid."""
    fields = grid.per_cell.fields if grid.per_cell else ()
    return (TrialGroup(grid.name, trial_ids, fields),) if grid.name else ()


def _joined(groups: Sequence[TrialGroup]) -> tuple[TrialGroup, ...]:
    """Groups of one name as one."""
    joined: dict[str, TrialGroup] = {}
    for group in groups:
        known = joined.get(group.name, replace(group, trial_ids=()))
        trial_ids = tuple(dict.fromkeys((*known.trial_ids, *group.trial_ids)))
        joined[group.name] = replace(group, trial_ids=trial_ids)
    return tuple(joined.values())


def _check(grid: Grid) -> None:
    for name in ("families", "scales", "sets"):
        if not getattr(grid, name):
            raise ConfigError(f"the grid has no {name}; give at least one")
    if grid.seeds < 1:
        raise ConfigError(f"seeds is {grid.seeds}, expected at least 1")
    for family in grid.families:
        base_dim_of(family)
    for scale in grid.scales:
        if not scale > 0:
            raise ConfigError(f"scale {scale:g} is not positive; scales are multiples of base_dim")


def _models(grid: Grid, family: str, scale: float, sets: str) -> list[tuple[ModelSpec, TrainSpec]]:
    """One model and training per combination of the further axes, each checked."""
    base_dim = grid.base_dim if grid.base_dim is not None else base_dim_of(family)
    num_sets = _num_sets(sets, scale)
    # A preset's 1 and a flag's 1.0 are one trial; JSON would tell them apart.
    model = ModelSpec(family, grid.variant, float(scale), num_sets, base_dim, **vars(grid.model))
    specs = [_apply(model, grid.train, values) for values in _combinations(grid.axes)]
    if grid.per_cell:
        specs = [grid.per_cell.settle(*spec) for spec in specs]
    for spec, _ in specs:
        check_spec(spec)
    return specs


def _num_sets(sets: str, scale: float) -> int:
    if sets == SETS_FOLLOW_SCALE:
        if scale != int(scale):
            raise ConfigError(f"sets `scale` needs whole scales, got {scale:g}; give the number of sets instead")
        return int(scale)
    if not sets.isdecimal() or int(sets) < 1:
        raise ConfigError(f"sets is {sets!r}, expected a positive integer or `{SETS_FOLLOW_SCALE}`")
    return int(sets)


def _combinations(axes: tuple[Axis, ...]) -> Iterator[dict[str, Any]]:
    """Every combination of the further axes' values, by field name."""
    parsed = [[(axis.field, _parse(axis.field, value)) for value in axis.values] for axis in axes]
    for combination in itertools.product(*parsed):
        yield dict(combination)


def _parse(field: str, text: str) -> Any:
    """Reads one value by the type of its field; `400+400` is a tuple."""
    hints = {**get_type_hints(ModelSpec), **get_type_hints(TrainSpec)}
    if field not in hints or field in OWN_AXES:
        known = ", ".join(sorted(name for name in hints if name not in OWN_AXES))
        raise ConfigError(f"no axis {field!r}; expected one of {known}")
    value = text.split("+") if "tuple" in str(hints[field]) else text
    try:
        return TypeAdapter(hints[field]).validate_python(value)
    except ValidationError as error:
        raise ConfigError(f"axis {field}: {text!r} is not a valid value: {error.errors()[0]['msg']}") from error


def _apply(model: ModelSpec, train: TrainSpec, values: dict[str, Any]) -> tuple[ModelSpec, TrainSpec]:
    names = {field.name for field in dataclasses.fields(ModelSpec)}
    of_model = {name: value for name, value in values.items() if name in names}
    of_train = {name: value for name, value in values.items() if name not in names}
    return replace(model, **of_model), replace(train, **of_train)
