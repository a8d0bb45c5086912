"""The plan of a study: every trial with its size, cost, time and standing in the store, before anything is launched."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from recscale.data.manifest import Manifest
from recscale.errors import ConfigError
from recscale.records import (
    ModelCost,
    Parallel,
    Penalty,
    Precision,
    Refusal,
    StudySpec,
    TrainSpec,
    TrialSpec,
    WorkerCost,
)
from recscale.storage.location import Location
from recscale.study.machine import NO_UNITS_SLOWDOWN, Machine
from recscale.study.store import TrialStatus, TrialStore
from recscale.study.study import Study

STEP_OVERHEAD_SECONDS = 2e-3
"""Time of one optimizer step that neither FLOPs nor bytes explain, on a CPU."""
EVALUATIONS_TO_BEST = 2
"""Evaluations until the best one that the time estimate assumes; patience comes on top."""


@dataclass(frozen=True)
class TeamShape:
    """How many workers train a trial, and how they divide it."""

    workers: int
    """Workers of one trial."""
    parallel: Parallel = Parallel.DATA
    """How several divide it."""


ALONE = TeamShape(workers=1)


@dataclass(frozen=True)
class PlannedTrial:
    """One trial before it runs."""

    spec: TrialSpec
    """What it is."""
    cost: ModelCost
    """Parameters, FLOPs, bytes and memory, computed; of the whole trial."""
    worker: WorkerCost
    """Memory of one of its workers, and what that sends to the others per step; if finished, as of one alone."""
    seconds: float
    """Time to train: that of the same cell's finished seeds where there are some, else an estimate."""
    status: TrialStatus
    """finished, failed or missing in the store."""


@dataclass(frozen=True)
class Plan:
    """The whole study before it runs."""

    trials: tuple[PlannedTrial, ...]
    """Those that will be in the study."""
    refused: tuple[Refusal, ...]
    """Grid points left out, with reasons."""
    slots: int
    """Trials that run at the same time."""
    warnings: tuple[str, ...] = ()
    """What makes it take longer than it need."""

    @property
    def seconds_left(self) -> float:
        """Expected wall time of what is not finished, on all slots."""
        work = [trial.seconds for trial in self.trials if trial.status is not TrialStatus.FINISHED]
        return max(sum(work) / self.slots, max(work, default=0.0))


def check_not_empty(plan: Plan) -> None:
    """ConfigError with the reasons, where every trial was refused."""
    if not plan.trials:
        raise ConfigError("; ".join(refusal.reason for refusal in plan.refused))


def make_plan(
    trials: Sequence[TrialSpec],
    refused: Sequence[Refusal],
    manifest: Manifest,
    store: TrialStore,
    machine: Machine,
    slots: int,
    known: Mapping[TrialSpec, ModelCost] = MappingProxyType({}),
    team: TeamShape = ALONE,
) -> Plan:
    """Sizes every trial, but for finished ones of a known cost, which were trained once and are not checked again.

    Refuses what its family cannot build or penalise, what its workers cannot divide, and what does not fit into one.
    """
    standing = store.statuses(spec.trial_id for spec in trials)
    history = _Finished(store, [spec for spec in trials if standing[spec.trial_id] is TrialStatus.FINISHED])
    fitting, unfit = [], {}
    for spec in trials:
        point, status = point_of(spec), standing[spec.trial_id]
        try:
            cost, worker = _costs(spec, status, manifest, known.get(spec), team)
        except ConfigError as error:
            unfit[point] = Refusal(point, str(error))
            continue
        if status is not TrialStatus.FINISHED and worker.peak_memory_bytes > machine.memory_bytes:
            unfit[point] = _too_large(point, worker, machine)
            continue
        estimate = estimate_seconds(spec.train, cost, manifest.split("train").rows, machine) / team.workers
        fitting.append(PlannedTrial(spec, cost, worker, history.seconds(spec) or estimate, status))
    return Plan(tuple(fitting), (*refused, *unfit.values()), slots, _warnings(fitting, machine))


def _costs(
    spec: TrialSpec, status: TrialStatus, manifest: Manifest, known: ModelCost | None, team: TeamShape
) -> tuple[ModelCost, WorkerCost]:
    """What the trial and one of its workers cost; torch is loaded only where the model has to be counted."""
    finished = status is TrialStatus.FINISHED
    if not finished or known is None:
        from recscale.study.costs import checked_cost, divided

        known = checked_cost(spec, manifest)
        if not finished and team.workers > 1:
            return known, divided(spec, manifest, team.parallel, team.workers)
    return known, WorkerCost(known.peak_memory_bytes, sent_bytes_per_step=0)


def _warnings(trials: Sequence[PlannedTrial], machine: Machine) -> tuple[str, ...]:
    """That trials to come are in bfloat16, where the machine has no units for it."""
    todo = (trial for trial in trials if trial.status is not TrialStatus.FINISHED)
    slowdown = machine.bf16_slowdown
    # not by <, for an idle machine's is NaN
    if not slowdown >= NO_UNITS_SLOWDOWN or all(trial.spec.train.precision is not Precision.BF16 for trial in todo):
        return ()
    return (f"matrix products in bf16 take {slowdown:.0f} times as long as in fp32 on this machine; choose fp32",)


def estimate_seconds(train: TrainSpec, cost: ModelCost, rows: int, machine: Machine) -> float:
    """Steps until early stopping times the time of one: arithmetic, memory traffic and what neither explains."""
    steps_per_epoch = math.ceil(rows * train.train_fraction / train.batch_size)
    epochs = min(train.max_epochs, (EVALUATIONS_TO_BEST + train.patience) / train.evaluations_per_epoch)
    return steps_per_epoch * epochs * (device_seconds(train, cost, machine) + STEP_OVERHEAD_SECONDS)


def device_seconds(train: TrainSpec, cost: ModelCost, machine: Machine) -> float:
    """Time of a step's arithmetic and memory traffic.

    A step does three forward passes' worth of matrix products (forward, gradients of inputs and of weights).
    """
    rate = machine.bf16_flops_per_second if train.precision is Precision.BF16 else machine.flops_per_second
    arithmetic = 3 * cost.flops_per_sample * train.batch_size / rate
    return arithmetic + cost.bytes_per_step / machine.bytes_per_second


def study_from_plan(spec: StudySpec, plan: Plan, provenance: dict[str, str], storage: Location) -> Study:
    """The study that a plan describes."""
    costs = tuple(trial.cost for trial in plan.trials)
    return Study(spec, costs, plan.refused, tuple(sorted(provenance.items())), str(storage))


class _Finished:
    """Mean seconds per cell (a spec without its seed) of the trials that are finished."""

    def __init__(self, store: TrialStore, finished: Sequence[TrialSpec]) -> None:
        self._seconds: dict[TrialSpec, list[float]] = {}
        results = store.read_results(spec.trial_id for spec in finished)
        for spec in finished:
            self._seconds.setdefault(replace(spec, seed=0), []).append(results[spec.trial_id].seconds)

    def seconds(self, spec: TrialSpec) -> float | None:
        known = self._seconds.get(replace(spec, seed=0))
        return sum(known) / len(known) if known else None


def _too_large(point: str, worker: WorkerCost, machine: Machine) -> Refusal:
    return Refusal(
        point,
        f"{point}: needs {worker.peak_memory_bytes / 2**30:.1f} GiB, but one trial's share has "
        f"{machine.memory_bytes / 2**30:.1f} GiB; run fewer trials at once, lower the scale or use a larger machine",
    )


def point_of(spec: TrialSpec) -> str:
    """A trial's place in the grid as a user writes it, whatever its seed."""
    model, penalty = spec.model, spec.train.penalty
    place = f"{model.family} scale={model.scale:g} sets={model.num_sets}"
    return place if penalty is Penalty.NONE else f"{place} penalty={penalty.value}"
