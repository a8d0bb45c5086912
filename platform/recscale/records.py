"""Frozen records that cross the borders between rooms, and the identity of a trial.

Legend: N fields, M embedding sets (`num_sets`), K embedding dimension per set (`embed_dim`).
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from recscale.errors import ConfigError, DataError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Record = TypeVar("Record")


class Variant(StrEnum):
    """Which reading of a family is built where the paper's released code and a like-for-like comparison differ."""

    PAPER = "paper"
    FAIR = "fair"


class TableOptimizer(StrEnum):
    """How embedding tables are updated; dense parameters always use fused Adam."""

    ADAM = "adam"
    DEFERRED_ADAM = "deferred_adam"
    LAZY_ADAM = "lazy_adam"
    ROWWISE_ADAGRAD = "rowwise_adagrad"


class Precision(StrEnum):
    """Arithmetic of the interactions and the head; tables and optimizer states stay in float32."""

    FP32 = "fp32"
    BF16 = "bf16"
    TF32 = "tf32"


class Decay(StrEnum):
    """What weight decay does: L2 in the gradient, as the paper's protocol has it, or decoupled from it (AdamW)."""

    COUPLED = "coupled"
    DECOUPLED = "decoupled"


class Sharing(StrEnum):
    """What the embedding sets have in common; separate is multi-embedding as the paper proposes it."""

    SEPARATE = "separate"
    """Every set has its own tables and its own interaction."""
    SHARED_INTERACTION = "shared_interaction"
    """Every set has its own tables, one interaction serves them all."""
    SHARED_TABLES = "shared_tables"
    """One set of tables of the whole budget, read by `num_sets` interactions."""


class Combination(StrEnum):
    """How the sets become one logit."""

    MEAN_FEATURES = "mean_features"
    """The mean of hidden features goes to the head (Guo et al. 2024)."""
    MEAN_LOGITS = "mean_logits"
    """The head scores every set by itself; the mean of the logits."""
    CONCATENATION = "concatenation"
    """The head reads the hidden features of all sets side by side."""


class Penalty(StrEnum):
    """A term added to the training loss; definitions at recscale.collapse.penalties."""

    NONE = "none"
    ORTHOGONALITY = "orthogonality"
    """Cross blocks become scaled rotations (Evidence III)."""
    PATTERN_ALIGNMENT = "pattern_alignment"
    """The sets' interaction patterns become alike."""
    SUBSPACE_SIMILARITY = "subspace_similarity"
    """The sets' embeddings of a batch span unlike subspaces."""
    SPECTRUM_FLATTENING = "spectrum_flattening"
    """The singular values of every table become alike."""


class Parallel(StrEnum):
    """How the workers of one trial divide it; the trial is the same, whoever trains it."""

    DATA = "data"
    """Every worker has the whole model and a slice of every batch."""
    SETS = "sets"
    """Every worker has some of the embedding sets and every batch whole."""
    ROWS = "rows"
    """Every worker has some of the tables' rows, the rest of the model whole, and a slice of every batch."""


class Arm(StrEnum):
    """The two ways to spend an embedding budget; num_sets = 1 is single-embedding."""

    SINGLE = "SE"
    MULTI = "ME"


class Tuning(StrEnum):
    """The two groups of trials that a tuning study compares."""

    UNTUNED = "untuned"
    """Every cell has the grid's settings."""
    TUNED = "tuned"
    """Every cell has settings that were searched for it."""


@dataclass(frozen=True)
class DatasetRef:
    """A prepared dataset as a trial names it."""

    path: str
    """Folder (or URI) that holds manifest.json; absolute, because workers do not share the driver's directory."""
    fingerprint: str
    """The manifest's fingerprint: the dataset's identity, whatever its path."""


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Settings of a model that are the same over a study's families, scales and sets."""

    hidden_sizes: tuple[int, ...] = (400, 400)
    """Widths of the MLP; the first closes the interaction, the others are the head; fm, fwfm and ffm have no MLP."""
    dropout: float = 0.2
    """Dropout probability after every hidden layer."""
    cross_layers: int = 4
    """Cross layers of dcn, dcnv2 and gdcn."""
    cin_sizes: tuple[int, ...] = (16, 16)
    """Feature maps per layer of xdeepfm's compressed interaction network."""
    block_layers: int = 2
    """Stacked blocks of autoint, wukong, rankmixer and zenith."""
    attention_heads: int = 2
    """Attention heads of autoint."""
    tokens: int = 8
    """Tokens that rankmixer and zenith mix; features that each wukong block puts out."""
    sharing: Sharing = Sharing.SEPARATE
    """separate | shared_interaction | shared_tables: what embedding sets have in common."""
    combination: Combination = Combination.MEAN_FEATURES
    """mean_features | mean_logits | concatenation: how embedding sets become one logit."""


@dataclass(frozen=True)
class ModelSpec(ModelSettings):
    """Everything that decides a model's shape except the dataset's vocabulary sizes."""

    family: str
    """A registered family, or the dotted module of the user's own."""
    variant: Variant = Variant.FAIR
    """paper | fair, where the two differ."""
    scale: float = 1.0
    """Embedding budget M*K as a multiple of `base_dim`."""
    num_sets: int = 1
    """Embedding sets M, each with its own interaction."""
    base_dim: int = 10
    """Embedding budget at scale 1."""

    @property
    def embed_dim(self) -> int:
        """K = base_dim * scale / table_sets; a ConfigError where that is not a positive integer."""
        budget = self.base_dim * self.scale
        dim = round(budget / self.table_sets)
        if dim < 1 or not math.isclose(dim * self.table_sets, budget, rel_tol=1e-9):
            raise ConfigError(
                f"{self.family} at scale {self.scale:g} with {self.table_sets} sets: the budget base_dim * scale = "
                f"{self.base_dim} * {self.scale:g} = {budget:g} does not divide into {self.table_sets} sets of a whole "
                f"embed_dim; choose a scale, base_dim or num_sets so that it does"
            )
        return dim

    @property
    def table_sets(self) -> int:
        """Sets of tables: num_sets, or one where all interactions read the same."""
        return 1 if self.sharing is Sharing.SHARED_TABLES else self.num_sets

    @property
    def arm(self) -> Arm:
        """Single-embedding where num_sets is 1, else multi-embedding."""
        return Arm.SINGLE if self.num_sets == 1 else Arm.MULTI


@dataclass(frozen=True)
class TrainSpec:
    """How a model is trained; the defaults are recscale's, the paper's protocol is `PAPER_TRAINING`."""

    batch_size: int = 2048
    """Rows per optimizer step."""
    learning_rate: float = 1e-3
    """Adam's learning rate, for dense parameters and tables alike."""
    weight_decay: float = 1e-6
    """Weight decay; but for adam, and deferred_adam where decoupled, only of table rows that the batch touches."""
    decay: Decay = Decay.COUPLED
    """coupled: L2 added to the gradient; decoupled: weights shrink by learning_rate * weight_decay each step."""
    table_optimizer: TableOptimizer = TableOptimizer.DEFERRED_ADAM
    """adam: every row at every step; deferred_adam: the same when a row is needed, but L2 only of touched rows;
    lazy_adam: rows without a gradient stand still; rowwise_adagrad."""
    precision: Precision = Precision.FP32
    """fp32 | bf16 | tf32."""
    max_epochs: int = 20
    """Passes over the train split at most."""
    evaluations_per_epoch: int = 1
    """Evaluations on the valid split per epoch, evenly spaced."""
    train_fraction: float = 1.0
    """Share of the train split that is trained on: its first rows, which preparation shuffled."""
    patience: int = 3
    """Evaluations without a better valid AUC before training stops; the best weights are tested."""
    penalty: Penalty = Penalty.NONE
    """none | orthogonality | pattern_alignment | subspace_similarity | spectrum_flattening."""
    penalty_weight: float | None = None
    """Weight of the penalty. None: the paper's, or the middle of its range."""


PAPER_TRAINING = TrainSpec(table_optimizer=TableOptimizer.ADAM)
"""Guo et al. 2024, appendix: dense Adam 1e-3 with L2 1e-6 inside, batch 2048, one evaluation per epoch, patience 3."""


@dataclass(frozen=True)
class TrialSpec:
    """One configuration and one seed on one dataset: the unit that is trained, stored and never run twice."""

    dataset_fingerprint: str
    """Identity of the data."""
    model: ModelSpec
    """The model."""
    train: TrainSpec
    """Its training."""
    seed: int
    """Seed of initial weights, dropout and the order of rows."""

    @property
    def configuration(self) -> tuple[ModelSpec, TrainSpec]:
        """The trial without its data and seed."""
        return self.model, self.train

    @cached_property
    def trial_id(self) -> str:
        """First 12 hexadecimal digits of the sha256 of the spec's canonical JSON."""
        return hashlib.sha256(canonical_json(to_plain(self)).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class TrialGroup:
    """Trials of a study that form curves of their own; a trial may be in several groups."""

    name: str
    """What tells its curves from another group's, e.g. tuned."""
    trial_ids: tuple[str, ...]
    """Its trials."""
    per_cell: tuple[str, ...]
    """Settings that every cell of it has for itself, and that therefore tell no curves apart."""


@dataclass(frozen=True)
class StudySpec:
    """One question: a grid of trials on one dataset."""

    name: str
    """Folder of the study inside the storage, and its MLflow run's name."""
    recipe: str
    """The question it asks: a file of studies/, and the page that answers it."""
    dataset: DatasetRef
    """The data every trial reads."""
    trials: tuple[TrialSpec, ...]
    """The resolved grid."""
    groups: tuple[TrialGroup, ...] = ()
    """Which of them form curves of their own; empty where all belong together."""


@dataclass(frozen=True)
class Refusal:
    """A grid point that is left out."""

    point: str
    """family, scale and sets as a user writes them."""
    reason: str
    """Why, and what to change."""


@dataclass(frozen=True)
class ModelCost:
    """Size and cost of one model trained in one way."""

    table_params: int
    """Entries of the tables: V * M * K."""
    dense_params: int
    """Entries of all other parameters."""
    flops_per_sample: int
    """Matrix-product FLOPs of one row's forward pass, a multiply-add counted as two (torch's counter); penalties, which
    are of training alone, are not counted."""
    bytes_per_step: int
    """Bytes that one optimizer step reads and writes; formula at `models.accounting.step_bytes`."""
    peak_memory_bytes: int
    """Bytes alive at the peak of training, the copy of the best weights included; formula at
    `models.accounting.memory_bytes`."""


@dataclass(frozen=True)
class WorkerCost:
    """What one worker of a trial costs."""

    peak_memory_bytes: int
    """Bytes alive at the peak of training on one worker."""
    sent_bytes_per_step: int
    """Bytes that one worker sends per optimizer step of a whole batch; formula at `training.traffic.sent_bytes`."""


def base_entropy(base_rate: float) -> float:
    """Entropy in nats of always predicting the base rate, 0 < base_rate < 1."""
    return -(base_rate * math.log(base_rate) + (1 - base_rate) * math.log1p(-base_rate))


@dataclass(frozen=True)
class Metrics:
    """Quality of a model on one split."""

    auc: float
    """Area under the ROC curve, exact, ties counted half."""
    log_loss: float
    """Mean binary cross-entropy in nats."""
    normalized_entropy: float
    """log_loss divided by the entropy of the split's base rate (He et al. 2014)."""
    calibration: float
    """Mean predicted probability divided by the base rate; 1 is calibrated."""

    @classmethod
    def of(cls, auc: float, log_loss: float, base_rate: float, mean_probability: float) -> "Metrics":
        """Of what was counted on a split; 0 < base_rate < 1."""
        return cls(auc, log_loss, log_loss / base_entropy(base_rate), mean_probability / base_rate)


@dataclass(frozen=True)
class CollapseSummary:
    """Collapse metrics of one model at one moment, each a mean over fields (and over sets where there are several)."""

    ia_mean: float
    """Information abundance IA of a set's table."""
    ia_ratio_mean: float
    """IA / K."""
    ia_concat_ratio_mean: float
    """IA of the concatenated sets / (M*K)."""
    effective_rank_mean: float
    """exp of the entropy of the normalised spectrum."""
    stable_rank_mean: float
    """Squared Frobenius norm over squared largest singular value."""
    participation_ratio_mean: float
    """(sum s^2)^2 / sum s^4."""
    weighted_ia_ratio_mean: float
    """IA / K of the frequency-weighted table."""
    weighted_ia_concat_ratio_mean: float
    """IA / (M*K) of the frequency-weighted concatenated sets."""
    set_diversity_mean: float | None
    """1 - mean cosine of the principal angles between two sets' column spaces; None with one set."""


@dataclass(frozen=True)
class Evaluation:
    """One look at the valid split during training; step 0 is the initialised model."""

    step: int
    """Optimizer steps done."""
    epoch: float
    """Passes over the train split done."""
    train_loss: float | None
    """Mean training loss since the evaluation before, penalties left out; None at step 0."""
    valid: Metrics
    """Quality on the valid split."""
    collapse: CollapseSummary
    """Collapse of the tables."""


@dataclass(frozen=True)
class TrialResult:
    """What a finished trial leaves behind, as result.json."""

    trial_id: str
    """Identity of the spec."""
    valid: Metrics
    """Quality of the best weights on the valid split."""
    test: Metrics
    """Quality of the best weights on the test split."""
    collapse: CollapseSummary
    """Collapse of the best weights."""
    best_step: int
    """Optimizer steps at the best evaluation."""
    steps: int
    """Optimizer steps done in all."""
    history: tuple[Evaluation, ...]
    """Every evaluation, oldest first; the first is the initialised model."""
    embed_dim: int
    """K, per set."""
    table_params: int
    """Entries of the tables."""
    dense_params: int
    """Entries of all other parameters."""
    flops_per_sample: int
    """Matrix-product FLOPs of one row's forward pass."""
    samples_per_second: float
    """Training rows per second, evaluation not counted."""
    seconds: float
    """Wall time of training and evaluation, summed over restarts."""
    peak_memory_bytes: int
    """Peak device memory on an accelerator, else peak resident memory of the process."""
    device: str
    """Where it ran: cpu or the accelerator's name."""


PLAIN = frozenset({int, float, bool, str, type(None)})
"""Types of what JSON knows, looked at first: most values of a record are of them."""


def to_plain(value: Any) -> Any:
    """Turns records, enums and tuples into what JSON knows; numbers and strings stay."""
    if type(value) in PLAIN:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    return value


def canonical_json(plain: Any) -> str:
    """One text per value: sorted keys, no spaces, no NaN."""
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)


def from_json(kind: type[Record], text: str | bytes, origin: str) -> Record:
    """Reads a record from JSON, checking every type; DataError naming `origin` where it does not fit.

    NaN and infinity are no JSON, and never fit.
    """
    from pydantic import ValidationError  # only here: training needs no more than torch, numpy and pyarrow

    content = text.encode() if isinstance(text, str) else text
    try:
        (record,) = _adapter(tuple[kind]).validate_json(b"[" + content + b"]")  # type: ignore[valid-type]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "the whole text"
        raise DataError(
            f"{origin} is not a valid {kind.__name__}: at {where}: {first['msg']} ({len(text)} bytes read)"
        ) from error
    checked: Record = record
    return checked


def from_rows(kind: type[Record], rows: Sequence[dict[str, Any]], origin: str) -> tuple[Record, ...]:
    """Rows of a table as records, checking every type; DataError naming `origin` where one does not fit.

    Columns that the record has not are left out. NaN, which tables have in the place of nothing, becomes None.
    """
    from pydantic import ValidationError

    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    plain = [{name: None if value != value else value for name, value in row.items() if name in names} for row in rows]
    try:
        records: tuple[Record, ...] = _adapter(tuple[kind, ...]).validate_python(plain)  # type: ignore[valid-type]
    except ValidationError as error:
        first = error.errors()[0]
        row, *column = map(str, first["loc"])
        raise DataError(
            f"{origin} does not hold {kind.__name__} rows: at row {row}, {'.'.join(column)}: {first['msg']}; "
            f"delete it and run the study's command again"
        ) from error
    return records


@cache
def _adapter(kind: Any) -> "TypeAdapter[Any]":
    """Made once per record: making it takes longer than reading one."""
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(kind, config=ConfigDict(allow_inf_nan=False))
