"""What share each process of a study is given on GPUs: by the memory it needs, and by how busy its step keeps a GPU."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from recscale.cluster.shares import ClusterInfo, Share, slots
from recscale.cluster.simulation import TrialTime, simulate
from recscale.cluster.stacking import Shares, Stack, stacks_of
from recscale.data.manifest import Manifest
from recscale.data.residence import held_bytes
from recscale.errors import ConfigError
from recscale.records import ModelCost, Parallel, Refusal, TrainSpec, TrialSpec, WorkerCost
from recscale.study.machine import Machine
from recscale.study.plan import STEP_OVERHEAD_SECONDS, Plan, PlannedTrial, device_seconds, point_of
from recscale.study.store import TrialStatus, TrialStore

FRACTIONS = (1 / 8, 1 / 4, 1 / 2, 1.0)
"""Parts of a GPU that a trial may be given: powers of two, so that what one trial leaves, others fill."""
CONTEXT_BYTES = 1 << 30
"""Reserve of every process on a GPU: CUDA's context, kernels and the workspaces of its libraries."""
FRAGMENTATION = 1.25
"""Memory that torch's allocator takes from the GPU for each byte alive: gaps and rounding."""


@dataclass(frozen=True)
class SizedPlan:
    """A study before it runs, and what each process will hold."""

    plan: Plan
    """The trials; what no share holds is refused."""
    stacks: tuple[Stack, ...]
    """The processes, of the trials that are not finished."""

    @property
    def shares(self) -> dict[str, Shares]:
        """What the process of each trial is given, by the trial's id."""
        return {trial.spec.trial_id: stack.shares for stack in self.stacks for trial in stack.trials}

    def text(self) -> dict[str, str]:
        """Each trial's share in words."""
        return {trial.spec.trial_id: stack.text() for stack in self.stacks for trial in stack.trials}

    def by_one_worker(self) -> "SizedPlan":
        """For an executor that trains every trial by one worker: none grows to several."""
        return replace(self, stacks=tuple(replace(s, shares=s.shares.one_worker()) for s in self.stacks))

    def without_teams(self) -> "SizedPlan":
        """For what trains every trial by one worker: those that need several are refused by name."""
        kept, refused = [], []
        for trial in self.plan.trials:
            share, point = self.shares[trial.spec.trial_id].first, point_of(trial.spec)
            if share.workers == 1:
                kept.append(trial)
                continue
            why = f"{point}: needs {share}, but is trained by one worker here; lower the scale or use larger GPUs"
            refused.append(Refusal(point, why))
        plan = replace(self.plan, trials=tuple(kept), refused=(*self.plan.refused, *refused))
        return SizedPlan(plan, tuple(stack for stack in self.stacks if stack.shares.first.workers == 1))


def same_for_all(
    plan: Plan, share: Share, manifest: Manifest, info: ClusterInfo, stacked_seeds: int = 1, memory_bytes: int = 0
) -> SizedPlan:
    """Every process holds what the user said, or a CPU, and as many seeds of a cell as fit into its memory."""

    def shares_of(trial: PlannedTrial, seeds: int) -> Shares | None:
        if seeds > 1 and seeds * trial.worker.peak_memory_bytes > memory_bytes:
            return None
        shares = Shares(share, larger_share(share, trial.spec, manifest, info))
        return shares.one_worker() if seeds > 1 else shares

    return SizedPlan(plan, stacks_of(plan.trials, stacked_seeds, len(manifest.fields), shares_of))


def by_need(
    plan: Plan,
    manifest: Manifest,
    store: TrialStore,
    info: ClusterInfo,
    gpu: Machine,
    cpus: float,
    stacked_seeds: int = 1,
) -> SizedPlan:
    """Every process holds the least share that it needs; what fits the cluster's GPUs in no way is refused by name."""
    todo = [trial for trial in plan.trials if trial.status is not TrialStatus.FINISHED]
    steps = _measured_steps(plan.trials, store) if todo else {}
    kept, refused, alone = [], {}, {}
    for trial in plan.trials:
        if trial.status is TrialStatus.FINISHED:
            kept.append(trial)
            continue
        share = _part_of_gpu(trial, 1, manifest, gpu, cpus, steps)
        worker = trial.worker
        try:
            if share is None:
                share, worker = _several(trial, manifest, info, gpu, cpus)
        except ConfigError as error:
            point = point_of(trial.spec)
            refused[point] = Refusal(point, str(error))
            continue
        kept.append(replace(trial, worker=worker))
        alone[trial.spec.trial_id] = Shares(share, larger_share(share, trial.spec, manifest, info))

    def shares_of(trial: PlannedTrial, seeds: int) -> Shares | None:
        own = alone[trial.spec.trial_id]
        if seeds == 1:
            return own
        if own.first.workers > 1:
            return None
        share = _part_of_gpu(trial, seeds, manifest, gpu, cpus, steps)
        return Shares(share, larger_share(share, trial.spec, manifest, info)).one_worker() if share else None

    stacks = stacks_of(kept, stacked_seeds, len(manifest.fields), shares_of)
    return SizedPlan(Plan(tuple(kept), (*plan.refused, *refused.values()), _at_once(stacks, info)), stacks)


def larger_share(share: Share, spec: TrialSpec, manifest: Manifest, info: ClusterInfo) -> Share | None:
    """Twice the share: of a part of a GPU, at most a whole one; of a whole one, twice the workers; else twice the CPUs.

    On CPUs this doubles the memory as well, since half as many trials run beside each other.
    """
    if 0 < share.gpus < 1:
        wanted = [replace(share, gpus=min(1.0, 2 * share.gpus))]
    elif share.gpus or share.workers > 1:
        ways = (share.parallel,) if share.workers > 1 else (Parallel.SETS, Parallel.ROWS)
        wanted = [replace(share, workers=2 * share.workers, parallel=way) for way in ways]
    else:
        wanted = [replace(share, cpus=2 * share.cpus)]
    return next((each for each in wanted if slots(each, info) and _divides(spec, each, manifest)), None)


def busy(train: TrainSpec, cost: ModelCost, gpu: Machine, measured_step: float | None) -> float:
    """Part of a step's time in which the GPU works, from 0 to 1: what others cannot use. 0 where its rates are unknown.

    The work's time at the device's peak, over that of a measured step, or over itself and the time to launch a step.
    """
    if not gpu.flops_per_second:
        return 0.0
    working = device_seconds(train, cost, gpu)
    return min(1.0, working / (measured_step or working + STEP_OVERHEAD_SECONDS))


def needed_bytes(peak_bytes: int) -> int:
    """GPU memory of a process whose tensors come to this peak."""
    return CONTEXT_BYTES + math.ceil(FRAGMENTATION * peak_bytes)


def _part_of_gpu(
    trial: PlannedTrial, seeds: int, manifest: Manifest, gpu: Machine, cpus: float, steps: Mapping[TrialSpec, float]
) -> Share | None:
    """The least part of a GPU for so many seeds of a trial; None where not even a whole one holds them."""
    step = steps.get(replace(trial.spec, seed=0))
    least = min(1.0, seeds * busy(trial.spec.train, trial.cost, gpu, step))
    peak = seeds * trial.worker.peak_memory_bytes
    for part in FRACTIONS:
        if part >= least and _fits(peak, int(gpu.memory_bytes * part), manifest):
            return Share(cpus=cpus, gpus=part)
    return None


def _several(
    trial: PlannedTrial, manifest: Manifest, info: ClusterInfo, gpu: Machine, cpus: float
) -> tuple[Share, WorkerCost]:
    """A power of two of workers with a GPU each: by sets where they can be told apart, else by rows."""
    from recscale.study.costs import divided  # needs torch

    spec, reason = trial.spec, "the cluster has no further GPU for it"
    for workers in (2**power for power in range(1, int(info.gpus).bit_length())):
        for way in (Parallel.SETS, Parallel.ROWS):
            share = Share(cpus=cpus, gpus=1.0, workers=workers, parallel=way)
            if not slots(share, info):
                continue
            try:
                cost = divided(spec, manifest, way, workers)
            except ConfigError as error:
                reason = str(error)
                continue
            if _fits(cost.peak_memory_bytes, gpu.memory_bytes, manifest):
                return share, cost
            reason = f"by {way.value}, each of {workers} still needs {_gib(needed_bytes(cost.peak_memory_bytes))}"
    raise ConfigError(
        f"{point_of(spec)}: needs {_gib(needed_bytes(trial.worker.peak_memory_bytes))} with its reserve, but a GPU "
        f"has {_gib(gpu.memory_bytes)}, and several do not help: {reason}; lower the scale or use larger GPUs"
    )


def _fits(peak_bytes: int, room: int, manifest: Manifest) -> bool:
    """Beside what the trial needs, it keeps the splits on the GPU that fit into half of the room that is left."""
    fields = len(manifest.fields)
    splits = [split.rows * (4 * fields + 1) for split in manifest.splits]
    return needed_bytes(peak_bytes) + held_bytes(splits, room - CONTEXT_BYTES) <= room


def _divides(spec: TrialSpec, share: Share, manifest: Manifest) -> bool:
    """Whether the workers of a share can divide the trial."""
    from recscale.study.costs import check_divided  # needs torch

    try:
        check_divided(spec, manifest, share.parallel, share.workers)
    except ConfigError:
        return False
    return True


def _measured_steps(trials: Sequence[PlannedTrial], store: TrialStore) -> dict[TrialSpec, float]:
    """Seconds per step of cells (specs without a seed) finished on GPUs: the fastest, which others disturbed least."""
    done = [trial.spec for trial in trials if trial.status is TrialStatus.FINISHED]
    steps: dict[TrialSpec, float] = {}
    for spec, result in zip(done, store.read_results(spec.trial_id for spec in done).values(), strict=True):
        if result.device != "cpu" and result.samples_per_second > 0:
            cell, seconds = replace(spec, seed=0), spec.train.batch_size / result.samples_per_second
            steps[cell] = min(seconds, steps.get(cell, math.inf))
    return steps


def _at_once(stacks: Sequence[Stack], info: ClusterInfo) -> int:
    """Processes under way at a time, on the average of a simulated study."""
    times = [TrialTime(number, stack.seconds, stack.shares.first) for number, stack in enumerate(stacks)]
    fitting = [time for time in times if slots(time.share, info)]
    makespan = simulate(fitting, info.shapes).makespan
    return max(1, round(sum(time.seconds for time in fitting) / makespan)) if makespan else 1


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB"
