"""What tests of killed and resumed trainings share."""

from dataclasses import replace

from recscale.records import TrialResult


class Killed(BaseException):
    """Stands for a process that dies between two evaluations."""


def without_clock(result: TrialResult) -> TrialResult:
    """What does not depend on the machine."""
    return replace(result, samples_per_second=0.0, seconds=0.0, peak_memory_bytes=0)
