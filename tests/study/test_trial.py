"""A stack of seeds from its specs to its folders in the store."""

from pathlib import Path

import pytest
import torch

from recscale.data.reader import Dataset
from recscale.records import ModelSpec, TrainSpec, TrialSpec
from recscale.study.store import TrialStatus, TrialStore
from recscale.study.trial import run_stacked, run_trial
from recscale.training.checkpoints import FolderCheckpoints

CPU = torch.device("cpu")
MODEL = ModelSpec("dcnv2", base_dim=4, hidden_sizes=(8, 8), cross_layers=1, dropout=0.0)
TRAIN = TrainSpec(batch_size=256, max_epochs=1, evaluations_per_epoch=2)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_leaves_what_single_trials_leave_and_trains_nothing_twice(small_dataset: Dataset, tmp_path: Path) -> None:
    """Of four seeds one is finished and one has a checkpoint that cannot be read."""
    fingerprint, data = small_dataset.manifest.fingerprint, str(small_dataset.path)
    specs = [TrialSpec(fingerprint, MODEL, TRAIN, seed) for seed in range(4)]
    finished, broken, *others = specs
    store, alone = TrialStore(tmp_path / "stacked"), TrialStore(tmp_path / "alone")
    for spec in specs:
        run_trial(spec, data, str(alone.storage), FolderCheckpoints(tmp_path / "ck"), CPU)
        (tmp_path / "ck" / "state.pt").unlink()
    run_trial(finished, data, str(store.storage), FolderCheckpoints(tmp_path / "ck"), CPU)
    before = (store.folder(finished.trial_id) / "result.json").stat().st_mtime_ns
    store.checkpoint_folder(broken.trial_id).mkdir(parents=True)
    (store.checkpoint_folder(broken.trial_id) / "state.pt").write_bytes(b"half a checkpoint")

    failed = run_stacked(specs, data, str(store.storage), CPU)
    assert failed.keys() == {broken.trial_id}
    assert "DataError" in failed[broken.trial_id]
    assert "is no readable checkpoint" in failed[broken.trial_id].splitlines()[-1]
    assert (store.folder(finished.trial_id) / "result.json").stat().st_mtime_ns == before
    standing = store.statuses(spec.trial_id for spec in specs)
    assert [standing[spec.trial_id] is TrialStatus.FINISHED for spec in specs] == [True, False, True, True]
    for spec in others:
        assert store.read_spec(spec.trial_id) == spec
        ours, theirs = store.read_result(spec.trial_id), alone.read_result(spec.trial_id)
        assert ours.test.log_loss == pytest.approx(theirs.test.log_loss, abs=1e-4)
        assert ours.steps == theirs.steps
        names = {path.name for path in store.folder(spec.trial_id).iterdir()}
        assert names == {path.name for path in alone.folder(spec.trial_id).iterdir()}

    (store.checkpoint_folder(broken.trial_id) / "state.pt").unlink()
    assert not run_stacked(specs, data, str(store.storage), CPU)
    assert store.status(broken.trial_id) is TrialStatus.FINISHED
    assert not run_stacked(specs, data, str(store.storage), CPU), "nothing is left to do"
