"""The embedded world is what it says: Zipf ids, full-rank interactions, spurious fields, a known ceiling."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.preprocessing import OneHotEncoder

from recscale.data.manifest import Manifest
from recscale.data.reader import Dataset
from recscale.data.synthetic import TRUTH_NAME, World, bayes_ceiling, draw_world, write_synthetic
from recscale.data.writer import vocabulary_path
from recscale.errors import ConfigError, DataError

ROWS = 100_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("synthetic") / "world"


@pytest.fixture(scope="module")
def manifest(folder: Path) -> Manifest:
    return write_synthetic(folder, ROWS, seed=0)


@pytest.fixture(scope="module")
def dataset(folder: Path, manifest: Manifest) -> Dataset:
    return Dataset.open(folder)


@pytest.fixture(scope="module")
def world() -> World:
    return draw_world(0)


def ids_of(dataset: Dataset, split: str) -> np.ndarray:
    return np.concatenate([batch.ids_BN.numpy() for batch in dataset.split(split).in_order(50_000)])


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_dataset(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_synthetic(tmp_path / name / "world", 2_000, seed)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert Dataset.open(tmp_path / "a/world").ref().fingerprint != Dataset.open(tmp_path / "c/world").ref().fingerprint


def test_more_rows_of_a_seed_continue_the_same_rows(dataset: Dataset, tmp_path: Path) -> None:
    write_synthetic(tmp_path / "small", 3_000, seed=0)
    small = Dataset.open(tmp_path / "small")
    for split in ("train", "valid", "test"):
        ids_BN = ids_of(small, split)
        np.testing.assert_array_equal(ids_BN, ids_of(dataset, split)[: len(ids_BN)])


def test_shape_of_the_world(manifest: Manifest) -> None:
    sizes = manifest.vocabulary_sizes
    assert len(sizes) == 12
    assert min(sizes) <= 4
    assert max(sizes) > 10_000
    rows = [split.rows for split in manifest.splits]
    assert sum(rows) == ROWS
    np.testing.assert_allclose(np.array(rows) / ROWS, [0.8, 0.1, 0.1], atol=0.005)
    for split in manifest.splits:
        deviation = np.sqrt(0.25 * 0.75 / split.rows)
        assert split.positives / split.rows == pytest.approx(0.25, abs=5 * deviation)


def test_the_ceiling_is_that_of_the_stored_truth(dataset: Dataset, folder: Path) -> None:
    """scikit-learn's AUC and log loss of truth.arrow against the test split's labels."""
    logit_B = pa.ipc.open_file(folder / TRUTH_NAME).read_all()["logit"].to_numpy()
    label_B = dataset.split("test").labels()
    bayes = dataset.manifest.bayes
    assert bayes is not None
    assert bayes.auc == pytest.approx(roc_auc_score(label_B, logit_B), abs=2e-6)
    assert bayes.log_loss == pytest.approx(log_loss(label_B, 1 / (1 + np.exp(-logit_B))), abs=2e-6)
    assert 0.80 < bayes.auc < 0.86


def test_the_auc_counts_ties_half() -> None:
    rng = np.random.default_rng(0)
    logit_B, label_B = rng.integers(-3, 4, 500).astype(float), rng.integers(0, 2, 500).astype(np.uint8)
    bayes = bayes_ceiling(logit_B, label_B)
    assert bayes is not None
    assert bayes.auc == pytest.approx(roc_auc_score(label_B, logit_B), abs=1e-6)
    assert bayes_ceiling(logit_B, np.ones(500, np.uint8)) is None


def test_labels_follow_the_true_probability(dataset: Dataset, world: World) -> None:
    """In each tenth of predicted probability the share of positives is the mean probability, within sampling error."""
    probability_B = 1 / (1 + np.exp(-world.logit(ids_of(dataset, "train"))))
    label_B = dataset.split("train").labels()
    for rows in np.array_split(np.argsort(probability_B), 10):
        mean = probability_B[rows].mean()
        assert label_B[rows].mean() == pytest.approx(mean, abs=5 * np.sqrt(mean * (1 - mean) / len(rows)))


def test_ids_follow_zipf(dataset: Dataset, world: World) -> None:
    """Counts of every field against its law, by the chi-square of ids expected at least 20 times."""
    rows = dataset.split("train").rows
    for field, count_V in zip(world.fields, dataset.counts(), strict=True):
        expected_V = field.probability_V * rows
        common = expected_V >= 20
        chi_square = ((count_V - expected_V)[common] ** 2 / expected_V[common]).sum()
        freedom = common.sum()
        assert abs(chi_square - freedom) < 6 * np.sqrt(2 * freedom)
        assert count_V[0] == 0
        assert np.all(np.diff(field.probability_V[1:]) < 0)


def interaction(world: World, left: int, right: int) -> np.ndarray:
    """The logit's double difference over two fields' ids, found by asking the logit itself."""
    base_N = np.ones(len(world.fields), np.int32)
    sizes = [len(world.fields[column].probability_V) for column in (left, right)]
    grid = np.stack(np.meshgrid(np.arange(1, sizes[0]), np.arange(1, sizes[1]), indexing="ij"), axis=-1)
    ids_BN = np.tile(base_N, (grid[..., 0].size, 1))
    ids_BN[:, left], ids_BN[:, right] = grid[..., 0].ravel(), grid[..., 1].ravel()
    logit = world.logit(ids_BN).reshape(grid.shape[:2])
    double: np.ndarray = logit - logit[:1] - logit[:, :1] + logit[0, 0]
    return double


def test_interactions_of_active_fields_have_full_rank(world: World) -> None:
    """Rank of the double difference: as many as the smaller field's ids allow, at most the latent dimension."""
    small = [c for c, f in enumerate(world.fields) if f.name.startswith("active") and len(f.probability_V) < 200]
    latent_dim = world.fields[0].latent_VL.shape[1]
    for left, right in combinations(small, 2):
        fewest = min(len(world.fields[column].probability_V) - 2 for column in (left, right))
        assert np.linalg.matrix_rank(interaction(world, left, right)) == min(fewest, latent_dim)


def test_no_single_latent_space_serves_all_pairs(world: World) -> None:
    """One field's interactions, side by side, span all latent dimensions: every pair has its own rotation."""
    active = [c for c, f in enumerate(world.fields) if f.name.startswith("active")]
    middle = max(
        (c for c in active if len(world.fields[c].probability_V) < 200), key=lambda c: len(world.fields[c].main_V)
    )
    latent_dim = world.fields[0].latent_VL.shape[1]
    blocks = [interaction(world, middle, c) for c in active if c < middle]
    separate = sum(np.linalg.matrix_rank(block) for block in blocks)
    assert np.linalg.matrix_rank(np.hstack(blocks)) == min(separate, latent_dim)
    assert separate > latent_dim


def test_spurious_fields_do_not_move_the_logit(world: World) -> None:
    spurious = [column for column, field in enumerate(world.fields) if field.name.startswith("spurious")]
    assert len(spurious) >= 3
    ids_BN = np.ones((50, len(world.fields)), np.int32)
    ids_BN[:, spurious] = np.random.default_rng(0).integers(1, 3, (50, len(spurious)))
    assert np.unique(world.logit(ids_BN)).size == 1


def test_main_effects_alone_leave_much_to_interactions(dataset: Dataset) -> None:
    """scikit-learn's logistic regression on one-hot ids, the most that main effects give, is far below the ceiling."""
    encoder = OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
    train = encoder.fit_transform(ids_of(dataset, "train"))
    model = LogisticRegression(C=0.3, max_iter=60, tol=1e-3).fit(train, dataset.split("train").labels())
    scores = model.decision_function(encoder.transform(ids_of(dataset, "test")))
    auc = roc_auc_score(dataset.split("test").labels(), scores)
    assert dataset.manifest.bayes is not None
    assert 0.6 < auc < dataset.manifest.bayes.auc - 0.12


def test_known_interactions_reach_far_above_main_effects(dataset: Dataset, world: World) -> None:
    """What can be learned of the head: the true logit with ids seen fewer than 50 times replaced by id 0, the mean."""
    ids_BN = ids_of(dataset, "test")
    common_BN = np.stack([count_V[ids_BN[:, c]] >= 50 for c, count_V in enumerate(dataset.counts())], axis=1)
    scores = world.logit(np.where(common_BN, ids_BN, 0))
    assert roc_auc_score(dataset.split("test").labels(), scores) > 0.78


def test_every_id_has_its_value(dataset: Dataset, folder: Path) -> None:
    for index, field in enumerate(dataset.manifest.fields):
        table = pq.read_table(vocabulary_path(folder, index, field.name))
        assert table["value"].to_pylist() == [None, *(str(number) for number in range(1, field.vocabulary_size))]
    dataset.verify()


def test_numbers_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rows = 0"):
        write_synthetic(tmp_path / "world", rows=0)
    with pytest.raises(ConfigError, match="seed = -1"):
        write_synthetic(tmp_path / "world", seed=-1)
    with pytest.raises(DataError, match="would be empty"):
        write_synthetic(tmp_path / "world", rows=2)
    assert not list(tmp_path.iterdir())
