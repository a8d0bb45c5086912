"""A training worker is killed in the middle of an epoch."""

import os
import signal
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from recscale.data.reader import Dataset
from recscale.study.store import TrialStore
from recscale.study.study import read_study
from recscale.study.trial import run_trial
from recscale.training.checkpoints import checkpoints_in
from tests.faults.driving import arguments, driver, lines, until

HALF_EPOCHS = ("--scales", "1", "--seeds", "1", "--batch-size", "16", "--evaluations-per-epoch", "3")


def _stop_in_mid_epoch(worker: int, state_file: Path) -> tuple[int, int] | None:
    """Holds the worker still where its checkpoint is one of mid-epoch, and says which; lets it go on elsewhere."""
    if not state_file.exists():
        return None
    os.kill(worker, signal.SIGSTOP)
    _, epoch, batch = torch.load(state_file, weights_only=True)["position"]
    if batch:
        return epoch, batch
    os.kill(worker, signal.SIGCONT)
    return None


@pytest.mark.slow
def test_a_worker_killed_in_mid_epoch_goes_on_at_its_row_to_the_same_bits(
    small_dataset: Dataset, tmp_path: Path, local: dict[str, str], one_thread: None
) -> None:
    storage = tmp_path / "runs"
    command = arguments(small_dataset.path, storage, *HALF_EPOCHS, "--max-epochs", "6", "--patience", "18")
    killed: list[tuple[int, int]] = []
    with driver(command, local, tmp_path / "output") as process:
        until(lambda: lines(storage), process)
        (first,) = lines(storage)
        state_file = TrialStore(storage).checkpoint_folder(first.trial_id) / "state.pt"

        def stopped() -> bool:
            killed.extend(filter(None, [_stop_in_mid_epoch(first.pid, state_file)]))
            return bool(killed)

        until(stopped, process)
        os.kill(first.pid, signal.SIGKILL)
        assert process.wait() == 0, (tmp_path / "output").read_text()
    begun = [line for line in lines(storage) if line.kind == "begin"]
    assert [(line.epoch, line.batch) for line in begun] == [(0, 0), *killed]
    assert begun[0].pid != begun[1].pid

    (spec,) = read_study(storage / "tiny").spec.trials
    undisturbed = TrialStore(tmp_path / "undisturbed")
    data = str(small_dataset.path)
    run_trial(spec, data, str(undisturbed.storage), checkpoints_in(tmp_path / "state"), torch.device("cpu"))
    for read in ("read_predictions", "read_train_predictions", "read_spectra"):
        there, here = (getattr(store, read)(spec.trial_id) for store in (TrialStore(storage), undisturbed))
        assert isinstance(here, pa.Table)
        assert there == here
