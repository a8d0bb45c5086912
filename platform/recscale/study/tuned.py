"""The settings that a search tunes, and those it chose for every cell of a grid: tuned.json."""

import dataclasses
import json
from dataclasses import dataclass, replace

from recscale.errors import ConfigError, DataError
from recscale.records import ModelSpec, TrainSpec, TrialSpec, from_json, to_plain
from recscale.storage.location import Location, write_atomic

TUNED_FILE = "tuned.json"
"""Name of the file inside the study's folder."""


@dataclass(frozen=True)
class SearchPoint:
    """One value of every setting that a search tunes."""

    learning_rate: float
    """Of TrainSpec."""
    weight_decay: float
    """Of TrainSpec."""
    dropout: float
    """Of ModelSpec."""

    def settle(self, model: ModelSpec, train: TrainSpec) -> tuple[ModelSpec, TrainSpec]:
        """The same model and training with these values."""
        tuned = replace(train, learning_rate=self.learning_rate, weight_decay=self.weight_decay)
        return replace(model, dropout=self.dropout), tuned

    def applied_to(self, spec: TrialSpec) -> TrialSpec:
        """The same trial with these values."""
        model, train = self.settle(spec.model, spec.train)
        return replace(spec, model=model, train=train)


TUNED_FIELDS = tuple(field.name for field in dataclasses.fields(SearchPoint))
"""Names of the tuned settings."""


def untuned_point(spec: TrialSpec) -> SearchPoint:
    """The values that a trial has."""
    return SearchPoint(spec.train.learning_rate, spec.train.weight_decay, spec.model.dropout)


@dataclass(frozen=True)
class TunedCell:
    """What a search chose for one cell."""

    model: ModelSpec
    """The cell: family, variant, scale, num_sets, and every model setting as it was before tuning."""
    train: TrainSpec
    """Its training as it was before tuning."""
    point: SearchPoint
    """The chosen values."""
    valid_auc: float
    """Valid AUC that they were chosen by, of one seed."""
    samples: int
    """Points that were tried."""


@dataclass(frozen=True)
class TunedSettings:
    """What a search chose for every cell of a grid, as tuned.json."""

    dataset_fingerprint: str | None
    """The data that were searched on; None allows any."""
    cells: tuple[TunedCell, ...]
    """One per family, scale and number of sets."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the tuned settings."""
        return TUNED_FIELDS

    def settle(self, model: ModelSpec, train: TrainSpec) -> tuple[ModelSpec, TrainSpec]:
        """The cell with its tuned settings; ConfigError where it was not tuned, or with other settings beside."""
        alike = [cell for cell in self.cells if _place(cell.model) == _place(model)]
        point = f"{model.family} scale={model.scale:g} sets={model.num_sets}"
        if not alike:
            known = sorted({f"{c.model.family} scale={c.model.scale:g} sets={c.model.num_sets}" for c in self.cells})
            raise ConfigError(
                f"{point} ({model.variant}) has not been tuned; tuned are: {', '.join(known) or 'no cells'}; "
                f"run studies/tuning.py with this cell in its grid, or leave it out"
            )
        for cell in alike:
            if _differences(cell, model, train) == []:
                return cell.point.settle(model, train)
        raise ConfigError(
            f"{point} was tuned with {', '.join(_differences(alike[0], model, train))}; "
            f"give both studies the same settings, or tune this one's"
        )


def _place(model: ModelSpec) -> tuple[str, str, float, int]:
    return model.family, model.variant, model.scale, model.num_sets


def _differences(cell: TunedCell, model: ModelSpec, train: TrainSpec) -> list[str]:
    """Settings beside the tuned ones in which a cell is not as it was tuned."""
    before = {**vars(cell.model), **vars(cell.train)}
    now = {**vars(model), **vars(train)}
    differing = [name for name in before if name not in TUNED_FIELDS and before[name] != now[name]]
    return [f"{name} {_text(before[name])}, not {_text(now[name])}" for name in differing]


def _text(value: object) -> str:
    return "+".join(map(str, value)) if isinstance(value, tuple) else str(value)


def write_tuned(folder: Location, tuned: TunedSettings) -> Location:
    """Writes tuned.json into the study's folder; its path."""
    write_atomic(folder / TUNED_FILE, json.dumps(to_plain(tuned), indent=1).encode() + b"\n")
    return folder / TUNED_FILE


def read_tuned(path: Location, dataset_fingerprint: str) -> TunedSettings:
    """Reads the settings that a tuning study chose; DataError where there are none or they are of other data."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror}; expected the {TUNED_FILE} that studies/tuning.py writes into its "
            f"study's folder"
        ) from error
    tuned = from_json(TunedSettings, text, str(path))
    if tuned.dataset_fingerprint not in (None, dataset_fingerprint):
        raise DataError(
            f"{path} was tuned on dataset {tuned.dataset_fingerprint[:12]}, but this study's is "
            f"{dataset_fingerprint[:12]}; point --data at the dataset it was tuned on, or tune on this one"
        )
    return tuned
