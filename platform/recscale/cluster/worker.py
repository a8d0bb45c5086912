"""What runs inside a worker process: the training functions handed to TorchTrainer, and Ray Train's checkpoints."""

import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray.train
import torch
from ray.train import Checkpoint
from ray.train.torch import TorchTrainer, get_device

from recscale.cluster.jobs import Outcome, TrialJob, Work
from recscale.cluster.shares import Share
from recscale.storage.location import location
from recscale.study.store import TrialStore
from recscale.study.trial import run_stacked, run_trial
from recscale.training.checkpoints import Checkpoints, FolderCheckpoints, State, checkpoints_in
from recscale.training.parallel import ONE, Strategy, strategy_of


class RayCheckpoints:
    """Checkpoints that Ray Train persists and hands to a restarted worker; of several workers each has its file."""

    def __init__(self, strategy: Strategy = ONE) -> None:
        self._strategy = strategy

    def load(self) -> State | None:
        """The newest reported state, None where nothing was reported."""
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return None
        with checkpoint.as_directory() as folder:
            return FolderCheckpoints(Path(folder), self._strategy.state_name).load()

    def save(self, state: State) -> None:
        """Reports this worker's part, if it has one; every worker has to call it, as often as the others."""
        if not self._strategy.writes_state:
            ray.train.report({})
            return
        with tempfile.TemporaryDirectory() as folder:
            FolderCheckpoints(Path(folder), self._strategy.state_name).save(state)
            ray.train.report({}, checkpoint=Checkpoint.from_directory(folder))


def train_trial(job: TrialJob, checkpoints: Checkpoints) -> Mapping[str, str]:
    """Trains the job's trials on this worker's device and stores what they leave; raises what training raises.

    Of several trials, each has its checkpoint in its own folder of the storage, and may fail by itself.
    """
    strategy = strategy_of(job.share.parallel) if job.share.workers > 1 else ONE
    device = worker_device(job.share)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # workers on one machine see all of its GPUs that any of them has
    if job.others:
        return run_stacked(job.specs, job.dataset_path, job.storage, device)
    run_trial(job.spec, job.dataset_path, job.storage, checkpoints, device, strategy=strategy)
    return {}


def worker_device(share: Share) -> torch.device:
    """The GPU that Ray gave, or the CPU where the share holds none, whatever GPUs the machine shows.

    Ray counts fractions of a GPU, but keeps nobody to them: torch does, so that a trial that needs more than its share
    runs out of memory itself, and not its neighbours.
    """
    if not share.gpus:
        return torch.device("cpu")
    device = get_device()
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(min(share.gpus, 1.0), device)
    return device


def pool_loop(config: dict[str, Any]) -> Any:
    """One trial in a pooled process, in Ray Train's local mode: the trial's folder keeps the checkpoint."""
    job: TrialJob = config["job"]
    folder = TrialStore(location(job.storage)).checkpoint_folder(job.trial_id)
    return _attempt(config["work"], job, checkpoints_in(folder))


def train_loop(config: dict[str, Any]) -> Any:
    """One trial in a worker of its own Ray Train run: Ray keeps the checkpoint."""
    job: TrialJob = config["job"]
    config["begun"].tell()
    torch.set_num_threads(job.share.threads)
    if job.share.workers > 1:
        config["work"](job, RayCheckpoints(strategy_of(job.share.parallel)))
        return Outcome(error=None)
    return _attempt(config["work"], job, RayCheckpoints())


def outcome_of(trainer: TorchTrainer) -> Outcome:
    """Runs the trainer and takes what its first worker returned."""
    result: Any = trainer.fit()
    outcome: Outcome = result.return_value
    return outcome


def _attempt(work: Work, job: TrialJob, checkpoints: Checkpoints) -> Outcome:
    """Turns an exception of the trial into an outcome: Ray restarts dead processes, not trials that fail by themselves.

    With several workers that is not possible, since the others would wait for this one: there Ray restarts them all.
    """
    try:
        failed = work(job, checkpoints)
    except Exception:
        return Outcome(error=traceback.format_exc())
    finally:
        torch.cuda.empty_cache()
    return Outcome(error=None, failed=failed)
