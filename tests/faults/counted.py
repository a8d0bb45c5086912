"""studies/scaling.py whose workers keep a log of what they train: run it as the recipe itself, with its arguments.

SKEW in the environment puts the driver's and the workers' clocks that many seconds off. HOLD names a file: as long as
it exists, no trial goes beyond its first checkpoint.
"""

import os
import sys
import time
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOG = "trained.log"


def skew_clock() -> None:
    """Puts Python's clock of this process off, once."""
    seconds, true_time = float(os.environ.get("SKEW", 0)), time.time
    if seconds and not hasattr(time, "true_time"):
        time.true_time = true_time
        time.time = lambda: true_time() + seconds


class Held:
    """Checkpoints; who has saved one waits until the file is gone."""

    def __init__(self, checkpoints, file):
        self.load = checkpoints.load
        self._save = checkpoints.save
        self._file = Path(file)

    def save(self, state):
        self._save(state)
        while self._file.exists():
            time.sleep(0.02)


def counted(job, checkpoints):
    """Training between two lines of the log: begin with the position of its checkpoint, and end."""
    from recscale.cluster.worker import train_trial

    skew_clock()
    state = checkpoints.load()
    epoch, batch = (0, 0) if state is None else state["position"][1:]
    log(job, f"begin {job.trial_id} {os.getpid()} {epoch} {batch}")
    failed = train_trial(job, Held(checkpoints, os.environ["HOLD"]) if "HOLD" in os.environ else checkpoints)
    log(job, f"end {job.trial_id} {os.getpid()} 0 0")
    return failed


def log(job, line):
    """Appends a line in one write."""
    with open(Path(job.storage) / LOG, "a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "studies"))
    skew_clock()
    import _boot  # noqa: F401
    import scaling

    from recscale.cluster import executors
    from recscale.entry import run_command

    executors.run_jobs = partial(executors.run_jobs, work=counted)
    run_command(scaling.main)
