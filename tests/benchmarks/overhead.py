"""What a study costs beside its training: per trial, and to find that there is nothing left to do."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from recscale.records import TrialSpec
from recscale.study.store import TrialStore
from recscale.study.study import read_study
from tests.benchmarks.measure import Row, measured

TINY = "--rows 4000 --families dnn --scales 1 --sets 1 --hidden-sizes 16 --batch-size 512 --max-epochs 1"
SLOTS = 2


def measure(folder: Path, trials: int, many: int) -> Iterator[Row]:
    """Overhead per trial of the later ones of `trials` tiny ones, and resuming a study of `many` that are finished."""
    storage = folder / "runs"
    wall = _study(storage, trials)
    store = TrialStore(storage)
    specs = read_study(storage / "overhead").spec.trials
    ended = sorted((_ended(store, spec), store.read_result(spec.trial_id).seconds) for spec in specs)
    warm = max(SLOTS, trials // 4)  # by then every slot's process is at work
    (since, _), later = ended[warm - 1], ended[warm:]
    training, span = fmean(seconds for _, seconds in later), later[-1][0] - since
    note = (
        f"the last {len(later)} of {trials} trials, {SLOTS} at a time, of {training:.2f} s of training each: "
        f"{span:.1f} s from the end of the {warm}th to that of the last, of {wall:.1f} s of the command"
    )
    yield measured("overhead per trial", [span * SLOTS / len(later) - training], "s", "as low as Ray allows", note)
    _pretend(storage, specs[0], many)
    logged = _study(storage, many)
    seconds = [_study(storage, many) for _ in range(3)]
    note = (
        f"{many} trials, all finished; the command from its start to its exit, tables and page included; before that, "
        f"once, MLflow was given what it lacked, in {logged:.0f} s"
    )
    yield measured("resume of a finished study", seconds, "s", "< 5 s", note)


def _ended(store: TrialStore, spec: TrialSpec) -> float:
    """When a trial's result was written, in seconds since 1970."""
    return (Path(store.folder(spec.trial_id)) / "result.json").stat().st_mtime


def _study(storage: Path, seeds: int) -> float:
    """Wall seconds of the command, which keeps its compiled modules for the next, as Python does unless told not to."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "studies/scaling.py", *TINY.split(), "--seeds", str(seeds), "--name", "overhead"]
    started = time.perf_counter()
    subprocess.run([*command, "--storage", str(storage)], env=environment, check=True, capture_output=True)
    return time.perf_counter() - started


def _pretend(storage: Path, like: TrialSpec, seeds: int) -> None:
    """Gives every further seed the files of one that was trained, under its own name."""
    store = TrialStore(storage)
    result = json.loads((store.folder(like.trial_id) / "result.json").read_text())
    for spec in (replace(like, seed=seed) for seed in range(seeds)):
        target = store.folder(spec.trial_id)
        if not target.exists():
            shutil.copytree(store.folder(like.trial_id), target)
            own = {**result, "trial_id": spec.trial_id, "test": {**result["test"], "auc": 0.6 + 1e-4 * (spec.seed % 7)}}
            (target / "result.json").write_text(json.dumps(own))
            (target / "spec.json").unlink()
