"""The train executor: a full Ray Train run per trial, restarted and resumed by Ray."""

import signal
import traceback

import ray
from ray.train import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchTrainer

from recscale.cluster.jobs import Outcome, OutcomeRef, TrialJob, Work
from recscale.cluster.ray_storage import storage_of
from recscale.cluster.worker import outcome_of, train_loop
from recscale.storage.location import remove_tree


def fit_trial(job: TrialJob, work: Work, max_retries: int) -> Outcome:
    """Drives one Ray Train run; a run of the same trial that was cut off before is resumed from its checkpoint."""
    trainer = TorchTrainer(
        train_loop,
        train_loop_config={"job": job, "work": work},
        scaling_config=ScalingConfig(
            num_workers=job.share.workers, use_gpu=job.share.gpus > 0, resources_per_worker=job.share.resources
        ),
        run_config=RunConfig(  # type: ignore[call-arg]  # mypy sees Ray Train's first version
            name=job.trial_id,
            **storage_of(job.ray_folder.parent),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            failure_config=FailureConfig(max_failures=max_retries),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )
    interrupt_handler = signal.getsignal(signal.SIGINT)
    try:
        return outcome_of(trainer)
    except TrainingFailedError:
        return Outcome(error=traceback.format_exc())
    finally:
        # Ray's own handler keeps the ended run's controller process alive for as long as this process is reused.
        signal.signal(signal.SIGINT, interrupt_handler)


class TrainLauncher:
    """Starts a driver task without a share per trial: the share is the Ray Train worker's.

    What gives the share of a killed run back asks the cluster's API server, and gives up where it finds two clusters on
    one machine: so it is told which.
    """

    def __init__(self, address: str, work: Work, max_retries: int) -> None:
        told = {"env_vars": {"RAY_API_SERVER_ADDRESS": address}}
        self._drive = ray.remote(fit_trial).options(num_cpus=0, max_retries=0, runtime_env=told)
        self._work, self._max_retries = work, max_retries
        self._running: set[OutcomeRef] = set()

    def launch(self, job: TrialJob) -> OutcomeRef:
        """Starts the trial's driver."""
        ref = self._drive.remote(job, self._work, self._max_retries)
        self._running.add(ref)
        return ref

    def release(self, ref: OutcomeRef, job: TrialJob, outcome: Outcome) -> None:
        """Removes what Ray kept of a finished run; a failed one keeps its checkpoint for the next attempt."""
        self._running.discard(ref)
        if outcome.error is None:
            remove_tree(job.ray_folder)

    def bury(self, ref: OutcomeRef) -> None:
        """Forgets the driver; Ray ends the run of a dead driver."""
        self._running.discard(ref)

    def trim(self) -> None:
        """Nothing is kept: every run has a driver of its own."""

    def close(self) -> None:
        """Ends every driver, and with it its run."""
        for ref in self._running:
            ray.cancel(ref, force=True)
        self._running.clear()
