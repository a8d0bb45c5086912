"""What reads files that another may have written: one target per reader, each fed by its own kind of file."""

import io
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import torch

from dashboards.collapse_results import load_collapse
from dashboards.index import load_entries
from recscale.curves.losses import Loss
from recscale.curves.table import fit_table
from recscale.data.manifest import MANIFEST_NAME, Manifest, read_manifest, sealed
from recscale.data.reader import Dataset
from recscale.errors import DataError
from recscale.records import TrialSpec, from_json
from recscale.study.catalog import catalog
from recscale.study.ledger import Sample
from recscale.study.store import TrialStore
from recscale.study.study import read_study
from recscale.study.toy import write_toy
from recscale.study.tuned import read_tuned
from recscale.training.checkpoints import FolderCheckpoints
from recscale.training.run import TrainingRun
from tests.fuzz.mutations import bytes_variant, json_variant

PAGE_TEXTS = ("associations.json", "curves.json", "forecasts.json", "provenance.json")
"""What a page reads beside tables."""
Variant = Callable[[Random, Sequence[bytes]], bytes]
BOTH: tuple[Variant, ...] = (bytes_variant, json_variant)
BYTES: tuple[Variant, ...] = (bytes_variant,)


@dataclass(frozen=True)
class Target:
    """A reader and the file that it reads."""

    name: str
    path: Path
    """The file, valid as it lies there; a hostile variant replaces it for the time of a read."""
    read: Callable[[], object]
    """Reads it; may raise DataError, ConfigError or TrialError and nothing else."""
    inputs: int
    """Variants to read."""
    variants: tuple[Variant, ...] = BYTES
    """Ways to make them."""


def study_targets(folder: Path) -> list[Target]:
    """Readers of a finished study's folder."""
    storage = folder.parent
    return [
        Target("study.json", folder / "study.json", lambda: read_study(folder), 8_000, BOTH),
        Target("study.json in the catalog", folder / "study.json", lambda: catalog(storage), 1_500, BOTH),
        Target("trials.parquet in the catalog", folder / "trials.parquet", lambda: catalog(storage), 1_000),
        Target("studies.json", storage / "studies.json", lambda: load_entries(storage), 6_000, BOTH),
        *(_alone(folder, name, 1_500, BOTH) for name in PAGE_TEXTS),
        *(_alone(folder, name, 800, BYTES) for name in sorted(path.name for path in folder.glob("*.parquet"))),
    ]


def _alone(folder: Path, name: str, inputs: int, variants: tuple[Variant, ...]) -> Target:
    """The page's reader on a study that has little more than this one file: what is not there, it leaves out."""
    small = folder.parent / "alone" / name
    small.mkdir(parents=True)
    trials = pq.read_table(folder / "trials.parquet")
    pq.write_table(trials.slice(0, 2), small / "trials.parquet")
    if name != "trials.parquet":
        shutil.copy(folder / name, small / name)
    return Target(f"{name} of a page", small / name, lambda: load_collapse(small), inputs, variants)


def trial_targets(store: TrialStore, trial_id: str) -> list[Target]:
    """Readers of a finished trial's folder."""
    folder = Path(str(store.folder(trial_id)))
    return [
        Target("spec.json", folder / "spec.json", lambda: store.read_spec(trial_id), 15_000, BOTH),
        Target("a spec in disguise", folder / "spec.json", lambda: _read_disguised(folder / "spec.json"), 10_000, BOTH),
        Target("result.json", folder / "result.json", lambda: store.read_result(trial_id), 15_000, BOTH),
        Target("spectra.arrow", folder / "spectra.arrow", lambda: store.read_spectra(trial_id).to_pylist(), 6_000),
        Target(
            "sub_embeddings.arrow",
            folder / "sub_embeddings.arrow",
            lambda: store.read_sub_embeddings(trial_id).to_pylist(),
            6_000,
        ),
        *(
            Target(f"{name}.arrow", folder / f"{name}.arrow", lambda read=read: _scored(read(trial_id)), 5_000)
            for name, read in (
                ("predictions", store.read_predictions),
                ("train_predictions", store.read_train_predictions),
            )
        ),
    ]


def dataset_targets(folder: Path) -> list[Target]:
    """Readers of a dataset."""
    manifest = read_manifest(folder)
    shard, vocabulary = folder / manifest.split("test").shards[0].path, next((folder / "vocabulary").glob("*.parquet"))

    def opened() -> None:
        dataset = Dataset.open(folder)
        dataset.check_rows()
        dataset.counts()

    return [
        Target("manifest.json", folder / MANIFEST_NAME, opened, 5_000, BOTH),
        Target("a manifest sealed anew", folder / MANIFEST_NAME, opened, 5_000, (resealed,)),
        Target("shard", shard, opened, 6_000),
        Target("vocabulary", vocabulary, opened, 2_500),
    ]


def single_targets(folder: Path, run: TrainingRun) -> list[Target]:
    """Readers of single files in `folder`."""
    checkpoints = FolderCheckpoints(folder / "checkpoint")

    def restored() -> None:
        state = checkpoints.load()
        if state is not None:
            run.restore(state)

    return [
        Target("tuned.json", folder / "tuned.json", lambda: read_tuned(folder / "tuned.json", "f" * 64), 6_000, BOTH),
        Target("sample", folder / "0000.json", lambda: _json(Sample, folder / "0000.json"), 6_000, BOTH),
        Target("toy.parquet", folder / "toy.parquet", lambda: write_toy(folder, ()), 1_000),
        Target(
            "points.csv",
            folder / "points.csv",
            lambda: fit_table(folder / "points.csv", "log_linear", ("n",), "loss", Loss()),
            1_000,
        ),
        Target("state.pt", folder / "checkpoint" / "state.pt", restored, 1_000),
        Target("a checkpoint of other tensors", folder / "checkpoint" / "state.pt", restored, 500, (other_state,)),
    ]


def resealed(random: Random, seeds: Sequence[bytes]) -> bytes:
    """A manifest changed as JSON, with the fingerprint that its new content has."""
    content = json_variant(random, seeds)
    with suppress(DataError):
        manifest = from_json(Manifest, content, "variant")
        return json.dumps(json.loads(content) | {"fingerprint": sealed(manifest).fingerprint}).encode()
    return content


def other_state(random: Random, seeds: Sequence[bytes]) -> bytes:
    """A checkpoint that torch reads, with a value missing, replaced, or of another shape."""
    state = torch.load(io.BytesIO(random.choice(seeds)), weights_only=True)
    holder, key = random.choice(list(_state_places(state)))
    value = holder[key]
    choices = [None, -1, 10**30, float("nan"), "text", [], {}, torch.zeros(0), torch.zeros(3, 1), torch.tensor(5)]
    if isinstance(value, torch.Tensor):
        choices += [value[:1] if value.dim() else value, value.double(), value.to(torch.int8), value.to_sparse()]
    holder[key] = random.choice(choices)
    sink = io.BytesIO()
    torch.save(state, sink)
    return sink.getvalue()


def _state_places(state: object) -> list[tuple[object, object]]:
    keys = list(state) if isinstance(state, dict) else range(len(state)) if isinstance(state, list) else ()
    places = [(state, key) for key in keys]
    return places + [place for key in keys for place in _state_places(state[key])]


def _scored(table: object) -> None:
    if table is not None:
        table["logit"].to_numpy().sum() + table["label"].to_numpy().sum()


def _json(kind: type, path: Path) -> object:
    return from_json(kind, path.read_bytes(), str(path))


def _read_disguised(path: Path) -> None:
    """Reads a spec from the folder of its own identity: only its content can be refused."""
    content = path.read_bytes()
    spec = from_json(TrialSpec, content, "variant")
    with tempfile.TemporaryDirectory(dir=path.parents[2]) as storage:
        store = TrialStore(Path(storage))
        folder = Path(str(store.folder(spec.trial_id)))
        folder.mkdir(parents=True)
        (folder / "spec.json").write_bytes(content)
        store.read_spec(spec.trial_id)
