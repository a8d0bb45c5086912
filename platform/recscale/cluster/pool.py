"""The pool executor: long-lived worker processes, each running one trial after another in Ray Train's local mode."""

from typing import Any

import ray
import torch
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from recscale.cluster.jobs import Outcome, OutcomeRef, TrialJob, Work
from recscale.cluster.ray_storage import storage_of
from recscale.cluster.shares import Share
from recscale.cluster.worker import outcome_of, pool_loop


class TrialSlot:
    """A worker process that holds a share and runs trials one at a time."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)

    def run(self, job: TrialJob, work: Work) -> Outcome:
        """Runs one trial; only the death of this process can keep it from returning an outcome."""
        trainer = TorchTrainer(
            pool_loop,
            train_loop_config={"job": job, "work": work},
            scaling_config=ScalingConfig(num_workers=0),
            run_config=RunConfig(name=job.trial_id, **storage_of(job.ray_folder.parent)),
        )
        return outcome_of(trainer)


class PoolLauncher:
    """Starts slots when they are needed, and reuses them."""

    def __init__(self, share: Share, work: Work) -> None:
        self._slot: Any = ray.remote(TrialSlot).options(num_cpus=share.cpus, num_gpus=share.gpus, max_restarts=0)
        self._threads, self._work = share.threads, work
        self._idle: list[Any] = []
        self._busy: dict[OutcomeRef, Any] = {}

    def launch(self, job: TrialJob) -> OutcomeRef:
        """Hands the trial to an idle slot, or to a new one."""
        slot = self._idle.pop() if self._idle else self._slot.remote(self._threads)
        ref: OutcomeRef = slot.run.remote(job, self._work)
        self._busy[ref] = slot
        return ref

    def release(self, ref: OutcomeRef, job: TrialJob, outcome: Outcome) -> None:
        """Takes the slot back for the next trial."""
        self._idle.append(self._busy.pop(ref))

    def bury(self, ref: OutcomeRef) -> None:
        """Makes sure that the slot is gone: two processes must never write one trial's folder."""
        ray.kill(self._busy.pop(ref))

    def trim(self) -> None:
        """Ends idle slots: where a machine is gone, a slot that waits for a place may need theirs."""
        for slot in self._idle:
            ray.kill(slot)
        self._idle.clear()

    def close(self) -> None:
        """Ends every slot, whatever it is doing, and so gives its share back."""
        self.trim()
        for slot in self._busy.values():
            ray.kill(slot)
        self._busy.clear()
