"""The embedded default world: click data drawn from a known logit, so that the best possible AUC is known.

A row's logit = intercept + a main effect per active field + a bilinear interaction per pair of active fields. Every
pair rotates the fields' latent vectors in its own way: interactions have full rank, no small embedding holds them all.
Legend: B rows of one chunk, N fields, V ids of one field (0 included, never drawn), L latent dimension.
"""
# ruff: noqa: N815

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.special import expit

from recscale.data.manifest import BayesCeiling, FieldInfo, Manifest, SourceInfo
from recscale.data.writer import DatasetWriter, durable_file
from recscale.errors import ConfigError

ACTIVE_FIELDS = ((3, 0.5), (8, 0.5), (20, 0.5), (40, 0.6), (1_000, 1.3), (10_000, 1.4))
"""Ids and Zipf exponent; the steeper the law, the fewer ids hold most of the rows."""
SPURIOUS_FIELDS = ((2, 0.5), (6, 0.5), (12, 0.5), (50, 0.8), (300, 1.1), (3_000, 1.3))
"""Fields that the label does not depend on."""
LATENT_DIM = 24
MAIN_DEVIATION = 0.8
PAIR_DEVIATION = 1.5
BASE_RATE = 0.25
CHUNK_ROWS = 65_536
SPLIT_OF_TENTH = ("train",) * 8 + ("valid", "test")
TRUTH_NAME = "truth.arrow"
WORLD, CALIBRATION, ROWS = 0, 1, 2
"""Independent random streams of one seed."""


@dataclass(frozen=True)
class Field:
    """One column of the world."""

    name: str
    """active_NN or spurious_NN."""
    probability_V: np.ndarray
    """How often an id is drawn; 0 for id 0."""
    main_V: np.ndarray
    """Main effect of an id on the logit, centred under the ids' probabilities; 0 for id 0 and in a spurious field."""
    latent_VL: np.ndarray
    """What interacts, centred likewise; 0 for id 0 and in a spurious field."""

    @property
    def covariance(self) -> np.ndarray:
        """Covariance [L, L] of the latent vectors of drawn rows."""
        covariance_LL: np.ndarray = (self.latent_VL * self.probability_V[:, None]).T @ self.latent_VL
        return covariance_LL


@dataclass(frozen=True)
class Pair:
    """The interaction of two fields: the inner product of `rotated_VL` with the right field's latent vectors."""

    left: int
    """Column."""
    right: int
    """Column."""
    rotated_VL: np.ndarray
    """The left field's latent vectors, rotated and scaled for this pair."""


@dataclass(frozen=True)
class World:
    """Everything that decides a row's logit."""

    seed: int
    """What it was drawn from."""
    fields: tuple[Field, ...]
    """In column order."""
    pairs: tuple[Pair, ...]
    """Interactions of active fields."""
    intercept: float
    """Solved so that the base rate is BASE_RATE."""

    def logit(self, ids_BN: np.ndarray) -> np.ndarray:
        """True logit of every row, float64 [B]."""
        logit_B = np.full(len(ids_BN), self.intercept)
        for column, field in enumerate(self.fields):
            logit_B += field.main_V[ids_BN[:, column]]
        for pair in self.pairs:
            left_BL = pair.rotated_VL[ids_BN[:, pair.left]]
            right_BL = self.fields[pair.right].latent_VL[ids_BN[:, pair.right]]
            logit_B += np.einsum("bl,bl->b", left_BL, right_BL)
        return logit_B


@dataclass(frozen=True)
class Chunk:
    """Rows drawn together."""

    ids_BN: np.ndarray
    """int32, from 1."""
    label_B: np.ndarray
    """uint8, 0 or 1."""
    logit_B: np.ndarray
    """float64, true."""
    split_B: np.ndarray
    """Tenth of the data, 0 to 9, that decides the split."""


def draw_world(seed: int) -> World:
    """The world of a seed; its intercept is solved on rows that no dataset holds."""
    from scipy.optimize import brentq  # only here: it takes a quarter of a second

    rng = _random(seed, WORLD)
    active = [_draw_field(rng, f"active_{number:02d}", *law) for number, law in enumerate(ACTIVE_FIELDS)]
    spurious = [_silent_field(f"spurious_{number:02d}", *law) for number, law in enumerate(SPURIOUS_FIELDS)]
    world = World(seed, (*active, *spurious), _draw_pairs(rng, active), intercept=0.0)
    score_B = world.logit(_draw_ids(world, _random(seed, CALIBRATION), CHUNK_ROWS))
    intercept = brentq(lambda shift: float(expit(score_B + shift).mean()) - BASE_RATE, -20, 20)
    return replace(world, intercept=round(intercept, 6))


def write_synthetic(dest: Path, rows: int = 200_000, seed: int = 0) -> Manifest:
    """Draws `rows` rows of the seed's world, splits them 8:1:1 and writes them with their Bayes ceiling.

    Same rows and seed, same dataset. The true logit of the test split, float32 in its order, lies in truth.arrow.
    ConfigError where a number is out of range, DataError where `dest` cannot be written.
    """
    if rows < 1 or seed < 0:
        raise ConfigError(f"a synthetic dataset got rows = {rows}, seed = {seed}; expected rows >= 1 and seed >= 0")
    world = draw_world(seed)
    counts = [np.zeros(len(field.probability_V), np.int64) for field in world.fields]
    tested: list[Chunk] = []
    with DatasetWriter(dest) as writer:
        for chunk in _chunks(world, rows):
            for split in dict.fromkeys(SPLIT_OF_TENTH):
                part = _part(chunk, split)
                writer.write_rows(split, part.ids_BN, part.label_B)
                if split == "train":
                    _count(counts, part.ids_BN)
                if split == "test":
                    tested.append(replace(part, ids_BN=part.ids_BN[:0]))
        logit_B = np.concatenate([part.logit_B for part in tested])
        label_B = np.concatenate([part.label_B for part in tested])
        _write_truth(writer.folder / TRUTH_NAME, logit_B)
        for index, (field, count_V) in enumerate(zip(world.fields, counts, strict=True)):
            writer.write_vocabulary(field.name, index, _values(len(count_V)), count_V)
        fields = tuple(FieldInfo(f.name, "categorical", len(f.probability_V), min_count=1) for f in world.fields)
        source = SourceInfo("synthetic", (), rows, rejected_rows=0, duplicate_rows=0)
        return writer.finish(fields, source, _options(world), bayes_ceiling(logit_B, label_B))


def bayes_ceiling(logit_B: np.ndarray, label_B: np.ndarray) -> BayesCeiling | None:
    """Exact AUC (ties counted half) and log loss in nats of the true logit; None where one class is missing.

    Rounded to 6 decimals, so that the dataset's fingerprint does not hang on a machine's last bit.
    """
    positives = int(label_B.sum())
    negatives = len(label_B) - positives
    if positives == 0 or negatives == 0:
        return None
    from scipy.stats import rankdata  # only here: it takes half a second

    ranks = float(rankdata(logit_B)[label_B == 1].sum())
    auc = (ranks - positives * (positives + 1) / 2) / (positives * negatives)
    log_loss = float((np.logaddexp(0, logit_B) - label_B * logit_B).mean())
    return BayesCeiling(round(auc, 6), round(log_loss, 6))


def _random(seed: int, stream: int, number: int = 0) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, number)))


def _silent_field(name: str, cardinality: int, exponent: float) -> Field:
    """A field whose ids follow Zipf's law and move nothing."""
    weight_V = np.concatenate([[0.0], np.arange(1, cardinality + 1) ** -exponent])
    return Field(name, weight_V / weight_V.sum(), np.zeros(cardinality + 1), np.zeros((cardinality + 1, LATENT_DIM)))


def _draw_field(rng: np.random.Generator, name: str, cardinality: int, exponent: float) -> Field:
    """A field with Gaussian main effects and latent vectors, both centred under the ids' probabilities."""
    silent = _silent_field(name, cardinality, exponent)
    probability_V = silent.probability_V
    main_V = rng.standard_normal(cardinality + 1)
    main_V -= probability_V @ main_V
    main_V *= MAIN_DEVIATION / np.sqrt(len(ACTIVE_FIELDS) * (probability_V @ main_V**2))
    latent_VL = rng.standard_normal((cardinality + 1, LATENT_DIM))
    latent_VL -= probability_V @ latent_VL
    main_V[0], latent_VL[0] = 0, 0
    return replace(silent, main_V=main_V, latent_VL=latent_VL)


def _draw_pairs(rng: np.random.Generator, fields: list[Field]) -> tuple[Pair, ...]:
    """Every pair of fields with a rotation of its own; together their deviation is PAIR_DEVIATION, in equal shares."""
    columns = list(combinations(range(len(fields)), 2))
    from scipy.stats import ortho_group  # only here: it takes half a second

    rotations = ortho_group.rvs(LATENT_DIM, size=len(columns), random_state=rng)
    pairs = []
    for (left, right), rotation_LL in zip(columns, rotations, strict=True):
        covariance_LL = rotation_LL.T @ fields[left].covariance @ rotation_LL
        variance = np.sum(covariance_LL * fields[right].covariance)
        scale = PAIR_DEVIATION / np.sqrt(len(columns) * variance)
        pairs.append(Pair(left, right, fields[left].latent_VL @ rotation_LL * scale))
    return tuple(pairs)


def _draw_ids(world: World, rng: np.random.Generator, rows: int) -> np.ndarray:
    """Ids of `rows` rows, int32 [B, N]; fields are independent."""
    ids_BN = np.empty((rows, len(world.fields)), np.int32)
    for column, field in enumerate(world.fields):
        ids_BN[:, column] = np.searchsorted(np.cumsum(field.probability_V)[:-1], rng.random(rows), side="right")
    return ids_BN


def _chunks(world: World, rows: int) -> Iterator[Chunk]:
    """The world's first `rows` rows; a chunk depends on its number only."""
    for number in range(-(-rows // CHUNK_ROWS)):
        rng = _random(world.seed, ROWS, number)
        ids_BN = _draw_ids(world, rng, CHUNK_ROWS)
        logit_B = world.logit(ids_BN)
        label_B = (rng.random(CHUNK_ROWS) < expit(logit_B)).astype(np.uint8)
        tenth_B = rng.integers(0, 10, CHUNK_ROWS)
        kept = slice(0, rows - number * CHUNK_ROWS)
        yield Chunk(ids_BN[kept], label_B[kept], logit_B[kept], np.array(SPLIT_OF_TENTH)[tenth_B[kept]])


def _part(chunk: Chunk, split: str) -> Chunk:
    rows = chunk.split_B == split
    return Chunk(chunk.ids_BN[rows], chunk.label_B[rows], chunk.logit_B[rows], chunk.split_B[rows])


def _count(counts: list[np.ndarray], ids_BN: np.ndarray) -> None:
    for column, count_V in enumerate(counts):
        count_V += np.bincount(ids_BN[:, column], minlength=len(count_V))


def _values(vocabulary_size: int) -> pa.Array:
    return pa.array([None, *(str(number) for number in range(1, vocabulary_size))], pa.string())


def _options(world: World) -> dict[str, str]:
    return {"seed": str(world.seed), "split": "8:1:1", "intercept": str(world.intercept)}


def _write_truth(path: Path, logit_B: np.ndarray) -> None:
    table = pa.table({"logit": pa.array(logit_B.astype(np.float32))})
    with durable_file(path) as file, pa.ipc.new_file(file, table.schema) as sink:
        sink.write_table(table)
