"""Hostile files: what recscale reads is data, so that a broken or malicious file is one clear error, and nothing else.

Every reader gets thousands of variants of a valid file, in a process of its own that may crash or hang. A variant is
decided by the target's name and its number alone: `_variant` makes it again.
"""

import faulthandler
import json
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch

from recscale.data.reader import Dataset
from recscale.data.synthetic import write_synthetic
from recscale.errors import RecscaleError
from recscale.records import TrainSpec, TrialSpec, to_plain
from recscale.study.catalog import write_catalog
from recscale.study.ledger import Sample
from recscale.study.results import write_results
from recscale.study.search import SearchPoint
from recscale.study.study import write_study
from recscale.study.toy import toy_grid, write_toy
from recscale.study.tuned import TunedCell, TunedSettings, write_tuned
from recscale.training.checkpoints import FolderCheckpoints
from recscale.training.run import TrainingRun
from tests.fuzz.targets import Target, dataset_targets, single_targets, study_targets, trial_targets

HANG_SECONDS = 60
"""A reader that takes longer for one file is taken for hanging."""

pytestmark = pytest.mark.slow


def _variant(target: Target, content: bytes, number: int) -> bytes:
    random = Random(f"{target.name} {number}")
    return random.choice(target.variants)(random, [content])


def _read_variants(target: Target, number_file: Path) -> None:
    """Reads every variant; ends the process by 3, telling the number, where one raises what it must not."""
    torch.set_num_threads(1)
    content = target.path.read_bytes()
    number = os.open(number_file, os.O_WRONLY | os.O_CREAT)
    for index in range(target.inputs):
        os.pwrite(number, b"%12d" % index, 0)
        target.path.write_bytes(_variant(target, content, index))
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        try:
            target.read()
        except RecscaleError as error:
            if not str(error).strip():
                sys.exit(f"variant {index}: an error without a word")
        except BaseException:
            traceback.print_exc()
            sys.exit(3)
        finally:
            faulthandler.cancel_dump_traceback_later()
    target.path.write_bytes(content)


def _listing(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.fixture
def targets(tmp_path: Path, study: object, finish: Callable[..., object], small_dataset: Dataset) -> list[Target]:
    """Every reader, with valid files: a finished study, its trials, a dataset, a checkpoint, single files."""
    for spec in study.spec.trials:
        finish(study.store, spec)
    write_study(study)
    write_results(study)
    write_catalog(study.folder.parent)
    trial = next(spec.trial_id for spec in study.spec.trials if spec.model.family == "dcnv2")
    world = tmp_path / "world"
    write_synthetic(world, rows=600, seed=3)
    dataset = Dataset.open(world)
    single = tmp_path / "single"
    single.mkdir()
    model = study.spec.trials[0].model
    run = TrainingRun(
        TrialSpec(dataset.manifest.fingerprint, model, TrainSpec(batch_size=64), 0), dataset, torch.device("cpu")
    )
    run.evaluate()
    run.train_until_evaluation()
    run.evaluate()
    FolderCheckpoints(single / "checkpoint").save(run.state())
    point = SearchPoint(1e-3, 0.0, 0.1)
    write_tuned(single, TunedSettings("f" * 64, (TunedCell(model, TrainSpec(), point, 0.7, 3),)))
    (single / "0000.json").write_text(json.dumps(to_plain(Sample(0, point))))
    write_toy(single, toy_grid((2,), 1)[:1])
    (single / "points.csv").write_text("n,loss\n" + "".join(f"{10 * 2**k},{0.4 + 1 / (k + 1)}\n" for k in range(8)))
    return [
        *study_targets(Path(str(study.folder))),
        *trial_targets(study.store, trial),
        *dataset_targets(world),
        *single_targets(single, run),
    ]


def test_no_variant_crashes_hangs_or_leaves_a_file(targets: list[Target], tmp_path: Path) -> None:
    assert sum(target.inputs for target in targets) >= 100_000
    number_file = tmp_path / "number"
    problems = []
    for target in targets:
        target.read()
        before, content = _listing(tmp_path), target.path.read_bytes()
        # Forked: what the fixtures made is there, and a crash is the child's.
        child = multiprocessing.get_context("fork").Process(target=_read_variants, args=(target, number_file))
        child.start()
        child.join()
        target.path.write_bytes(content)
        if child.exitcode != 0:
            problems.append(f"{target.name}: exit status {child.exitcode} at variant {number_file.read_text().strip()}")
        strays = _listing(tmp_path) - before - {"number"}
        if strays:
            problems.append(f"{target.name}: left {sorted(strays)}")
    assert not problems, "\n".join(problems)
