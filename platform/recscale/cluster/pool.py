"""The pool executor: long-lived worker processes, each running one trial after another in Ray Train's local mode."""

from typing import Any

import ray
import torch
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from recscale.cluster.jobs import Launched, Outcome, OutcomeRef, TrialJob, Work
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
    """Starts slots when they are needed, and hands one whose trial has ended to the next trial of that share."""

    def __init__(self, work: Work) -> None:
        self._slot: Any = ray.remote(TrialSlot)
        self._work = work
        self._idle: dict[Share, list[Any]] = {}
        self._busy: dict[OutcomeRef, Any] = {}

    def launch(self, job: TrialJob) -> Launched:
        """Hands the trial to an idle slot, or to a new one."""
        share, begun = job.share, None
        if idle := self._idle.get(share):
            slot = idle.pop()
        else:
            held = self._slot.options(num_cpus=share.cpus, num_gpus=share.gpus, max_restarts=0)
            slot = held.remote(share.threads)
            begun = slot.__ray_ready__.remote()
        ref: OutcomeRef = slot.run.remote(job, self._work)
        self._busy[ref] = slot
        return Launched(ref, begun)

    def release(self, ref: OutcomeRef, job: TrialJob, outcome: Outcome) -> None:
        """Takes the slot back for the next trial."""
        self._idle.setdefault(job.share, []).append(self._busy.pop(ref))

    def bury(self, ref: OutcomeRef) -> None:
        """Makes sure that the slot is gone: two processes must never write one trial's folder."""
        ray.kill(self._busy.pop(ref))

    def drop_idle(self) -> None:
        """Ends slots without a trial, which would keep their share from a trial of another one."""
        for slots in self._idle.values():
            for slot in slots:
                ray.kill(slot)
        self._idle.clear()

    def close(self) -> None:
        """Ends every slot, whatever it is doing, and so gives its share back."""
        self.drop_idle()
        for slot in self._busy.values():
            ray.kill(slot)
        self._busy.clear()
