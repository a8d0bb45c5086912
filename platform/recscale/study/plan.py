"""The plan of a study: every trial with its size, cost, time and standing in the store, before anything is launched."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import torch

from recscale.data.manifest import Manifest
from recscale.errors import ConfigError
from recscale.models.accounting import account
from recscale.records import ModelCost, Parallel, Penalty, Precision, Refusal, StudySpec, TrainSpec, TrialSpec
from recscale.storage.location import Location
from recscale.study.store import TrialStatus, TrialStore
from recscale.study.study import Study
from recscale.training.parallel import check_parallel
from recscale.training.schedule import check_settings
from recscale.training.traffic import WorkerCost, worker_cost

STEP_OVERHEAD_SECONDS = 2e-3
"""Time of one optimizer step that neither FLOPs nor bytes explain, on a CPU."""
LONG_PRODUCT_SECONDS = 1e-2
"""A product that takes so long says what a machine does; shorter ones can be slower per FLOP."""
NO_UNITS_SLOWDOWN = 2.0
"""From here on a machine has no units for bfloat16."""
EVALUATIONS_TO_BEST = 2
"""Evaluations until the best one that the time estimate assumes; patience comes on top."""


@dataclass(frozen=True)
class Machine:
    """What one trial's share of this machine can do, measured."""

    flops_per_second: float
    """Matrix-product rate in fp32."""
    bf16_flops_per_second: float
    """Matrix-product rate in bfloat16."""
    bytes_per_second: float
    """Rate of reading and writing memory."""
    memory_bytes: int
    """Memory that one worker of a trial may use."""

    @property
    def bf16_slowdown(self) -> float:
        """How many times as long a product takes in bfloat16."""
        return self.flops_per_second / self.bf16_flops_per_second


IDLE = Machine(math.inf, math.inf, math.inf, 0)
"""A machine that has nothing left to train: what is finished tells its own time, so nothing is measured."""


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
    """Memory of one of its workers, and what that sends to the others per step."""
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
    """Sizes every trial of which no cost is known.

    Refuses what its family cannot build or penalise, what its workers cannot divide, and what does not fit into one.
    """
    standing = store.statuses(spec.trial_id for spec in trials)
    history = _Finished(store, [spec for spec in trials if standing[spec.trial_id] is TrialStatus.FINISHED])
    fitting, unfit = [], {}
    for spec in trials:
        point = point_of(spec)
        try:
            cost = known.get(spec) or account(spec.model, spec.train, manifest.vocabulary_sizes)
            check_settings(spec, len(manifest.fields))
            status = standing[spec.trial_id]
            if status is TrialStatus.FINISHED or team.workers == 1:
                worker = WorkerCost(cost.peak_memory_bytes, sent_bytes_per_step=0)
            else:
                worker = _divided(spec, manifest, team)
        except ConfigError as error:
            unfit[point] = Refusal(point, str(error))
            continue
        if status is not TrialStatus.FINISHED and worker.peak_memory_bytes > machine.memory_bytes:
            unfit[point] = _too_large(point, worker, machine)
            continue
        estimate = estimate_seconds(spec.train, cost, manifest.split("train").rows, machine) / team.workers
        fitting.append(PlannedTrial(spec, cost, worker, history.seconds(spec) or estimate, status))
    return Plan(tuple(fitting), (*refused, *unfit.values()), slots, _warnings(fitting, machine))


def _warnings(trials: Sequence[PlannedTrial], machine: Machine) -> tuple[str, ...]:
    """That trials to come are in bfloat16, where the machine has no units for it."""
    todo = (trial for trial in trials if trial.status is not TrialStatus.FINISHED)
    slowdown = machine.bf16_slowdown
    # not by <, for an idle machine's is NaN
    if not slowdown >= NO_UNITS_SLOWDOWN or all(trial.spec.train.precision is not Precision.BF16 for trial in todo):
        return ()
    return (f"matrix products in bf16 take {slowdown:.0f} times as long as in fp32 on this machine; choose fp32",)


def _divided(spec: TrialSpec, manifest: Manifest, team: TeamShape) -> WorkerCost:
    """What one of several workers costs; ConfigError where they cannot divide the trial."""
    rows = math.ceil(manifest.split("train").rows * spec.train.train_fraction)
    check_parallel(spec, team.parallel, team.workers, rows, sum(manifest.vocabulary_sizes))
    return worker_cost(spec.model, spec.train, manifest.vocabulary_sizes, team.parallel, team.workers)


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


def measure_machine(threads: int, memory_bytes: int) -> Machine:
    """Measures matrix products and memory traffic with `threads` threads, in about a second at most."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        block = torch.zeros(8 << 20)
        return Machine(
            flops_per_second=_product_rate(torch.float32),
            bf16_flops_per_second=_product_rate(torch.bfloat16),
            bytes_per_second=8 * block.numel() / _fastest(lambda: block.add_(1.0)),
            memory_bytes=memory_bytes,
        )
    finally:
        torch.set_num_threads(before)


def _product_rate(precision: torch.dtype) -> float:
    """FLOP/s of the first product that takes long enough; without units for bfloat16 a large one would take seconds."""
    rate = 0.0
    for size in (128, 256, 512, 1024):
        square = torch.randn(size, size).to(precision)
        seconds = _fastest(partial(torch.mm, square, square))
        rate = 2 * size**3 / seconds
        if seconds > LONG_PRODUCT_SECONDS:
            break
    return rate


def _fastest(action: Callable[[], object]) -> float:
    """Seconds of the fastest of five calls, after one to warm up."""
    action()
    times = []
    for _ in range(5):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return min(times)


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
