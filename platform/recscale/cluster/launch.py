"""From a grid to a finished study: plan, connect, run, write the outputs. What every recipe in studies/ calls."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType

from recscale.cluster.drive import Drive, run_study
from recscale.cluster.gpus import gpu_of
from recscale.cluster.shares import (
    ClusterInfo,
    Executor,
    NodeShape,
    Share,
    check_shares,
    default_executor,
    default_share,
    slots,
)
from recscale.cluster.sizing import SizedPlan, by_need, same_for_all
from recscale.data.reader import Dataset
from recscale.errors import ConfigError
from recscale.records import ModelCost, Parallel, StudySpec, TrialSpec
from recscale.storage.location import Location, check_storage, location
from recscale.study.claims import Claims
from recscale.study.grid import Grid, ResolvedGrid, resolve_all
from recscale.study.machine import IDLE, Machine, gpus_here
from recscale.study.mirror import Mirror
from recscale.study.plan import Plan, TeamShape, check_not_empty, make_plan, study_from_plan
from recscale.study.plan_text import plan_text
from recscale.study.provenance import gather_provenance
from recscale.study.results import write_results
from recscale.study.store import TrialStatus, TrialStore
from recscale.study.study import check_name, known_costs, write_study
from recscale.study.tracking_place import tracking_note

Report = Callable[[Location], Location]
"""Draws the report of a study's folder and returns its path."""


@dataclass(frozen=True)
class LaunchOptions:
    """Where and how a study runs."""

    storage: str = "runs"
    """Folder, s3://BUCKET/PATH or gs://BUCKET/PATH that keeps all trials and studies; every machine must see it."""
    plan: bool = False
    """Print every trial with its size, cost and time, and launch nothing."""
    executor: Executor | None = None
    """train: a full Ray Train run per trial; pool: reused processes. None: train with GPUs or several workers,
    else pool."""
    cpus_per_trial: float | None = None
    """CPUs each trial holds. None: 1."""
    gpus_per_trial: float | None = None
    """GPUs, or the fraction of one, each trial holds. None: on a cluster with GPUs what each trial needs (an eighth, a
    quarter, a half or the whole of one, or several), or the whole of one where their memory is not known."""
    gpu_memory: float | None = None
    """GiB of the cluster's smallest GPU. None: that of its kind, where Ray knows it, or what torch finds where
    this machine is the cluster."""
    memory_per_trial: float | None = None
    """GiB one trial's worker may use. None: this machine's memory over the workers that run at once on it. Where trials
    share GPUs by what they need, --gpu-memory says instead what there is."""
    workers_per_trial: int = 1
    """Workers that train one trial together, each with the CPUs and GPUs above; several take executor train."""
    parallel: Parallel = Parallel.DATA
    """How several workers divide a trial: data (batches are sliced), sets (each has embedding sets of its own and no
    table travels), rows (each has some of the tables' rows); the result is that of one worker. docs/scale.md says when
    to use which."""
    stacked_seeds: int = 1
    """Seeds of a cell that one process trains stacked, at most, as far as its memory holds them: one step is a step of
    all of them. For small models on GPUs; on CPUs it gains little."""
    max_retries: int = 1
    """Restarts of a trial whose process died; it goes on from its checkpoint."""
    privacy: bool = False
    """Attack every trial by membership inference at the end, and add what came out to the report."""


def launch(
    name: str, recipe: str, dataset: Dataset, grids: Sequence[Grid], options: LaunchOptions, report: Report
) -> int:
    """Runs the study to its end; 1 where a trial failed, else 0. With options.plan, only prints the plan.

    `recipe` is the name by which `recscale report` finds the page again; the study is the union of its grids.
    """
    check_name(name)
    storage = location(options.storage)
    check_storage(storage)
    resolved = resolve_all(grids, dataset.manifest.fingerprint)

    todo = left_to_run(resolved, dataset, storage)
    with cluster_of(options, dataset, todo) as info, Claims(storage) as claims:
        known = {} if todo else known_costs(storage / name)
        sized = size_trials(resolved, dataset, options, info, todo, known)
        plan = sized.plan
        print(plan_text(plan, sized.text()), flush=True)
        if options.plan:
            return 0
        trials = tuple(trial.spec for trial in plan.trials)
        spec = StudySpec(name, recipe, dataset.ref(), trials, resolved.groups)
        with claims.alone("mlflow"):  # makes what MLflow lacks; two at once would make it twice
            mirror = Mirror(storage, spec, resting=not todo)
        if note := tracking_note(storage):
            print(note, flush=True)
        places = {"mlflow_address": mirror.address, "ray_dashboard": info.dashboard}
        study = study_from_plan(spec, plan, gather_provenance(dataset, _describe(info)) | places, storage)
        write_study(study)
        held = [share for own in sized.shares.values() for share in (own.first, own.larger) if share]
        drive = Drive(options.executor or default_executor(held), sized.stacks, options.max_retries)
        failed = run_study(study, plan, drive, info, mirror, claims)
    write_results(study)
    if options.privacy:
        from recscale.study.privacy import write_privacy  # needs torch

        write_privacy(study)
    page = report(study.folder)
    mirror.end_study(study.files, failed)
    if mirror.problem:
        print(f"MLflow did not take everything ({mirror.problem}); complete it with: recscale sync {study.folder}")
    print(f"{len(trials) - failed} of {len(trials)} trials finished; report: {page}")
    return 1 if failed else 0


def left_to_run(resolved: ResolvedGrid, dataset: Dataset, storage: Location) -> bool:
    """Whether a trial of the grid has no result yet, and is not refused for its settings whatever the cluster."""
    standing = TrialStore(storage).statuses(spec.trial_id for spec in resolved.trials)
    missing = [spec for spec in resolved.trials if standing[spec.trial_id] is not TrialStatus.FINISHED]
    if not missing:
        return False
    from recscale.study.costs import can_be_trained  # needs torch

    return any(can_be_trained(spec, dataset.manifest) for spec in missing)


@contextmanager
def cluster_of(options: LaunchOptions, dataset: Dataset, todo: bool) -> Iterator[ClusterInfo]:
    """The cluster for the time of the block; where nothing is to run, this machine without a Ray.

    A plan asks the cluster that RAY_ADDRESS names what it has.
    """
    if (not todo and not options.plan) or (options.plan and "RAY_ADDRESS" not in os.environ):
        yield _this_machine()
        return
    from recscale.cluster.connect import connect  # imports Ray, which takes a second

    with connect(places=(options.storage, dataset.ref().path)) as info:
        yield info


def plan_trials(
    resolved: ResolvedGrid,
    dataset: Dataset,
    options: LaunchOptions,
    info: ClusterInfo,
    todo: bool,
    known: Mapping[TrialSpec, ModelCost] = MappingProxyType({}),
) -> tuple[Plan, Share]:
    """Every trial sized for its share of the cluster, but for finished ones of a known cost.

    ConfigError where no trial fits, or where some are to run (`todo`) and their share does not.
    """
    share = _share(options, info)
    if todo:
        check_shares([share], info)
    machine = _measured(share, _memory(options, share, info), todo)
    store = TrialStore(location(options.storage))
    team = TeamShape(share.workers, share.parallel)
    at_once = slots(share, info)
    plan = make_plan(resolved.trials, resolved.refused, dataset.manifest, store, machine, at_once, known, team)
    check_not_empty(plan)
    return plan, share


def size_trials(
    resolved: ResolvedGrid,
    dataset: Dataset,
    options: LaunchOptions,
    info: ClusterInfo,
    todo: bool,
    known: Mapping[TrialSpec, ModelCost] = MappingProxyType({}),
) -> SizedPlan:
    """As `plan_trials`, with a share for each process: on GPUs by what it needs, unless the user says what it holds."""
    stacked = options.stacked_seeds
    if stacked < 1 or (stacked > 1 and options.workers_per_trial > 1):
        raise ConfigError(
            f"got stacked_seeds {stacked} and workers_per_trial {options.workers_per_trial}, expected 1 or more, and "
            f"stacked seeds by one worker; leave one of them out"
        )
    told = options.gpus_per_trial is not None or options.workers_per_trial > 1
    gpu = None if told or info.gpus < 1 else gpu_of(info, options.gpu_memory)
    if gpu is None:
        plan, share = plan_trials(resolved, dataset, options, info, todo, known)
        if not told and info.gpus >= 1:
            print("the GPUs' memory is not known, so every trial holds a whole one; --gpu-memory GIB lets them share")
        sized = same_for_all(plan, share, dataset.manifest, info, stacked, _memory(options, share, info))
    else:
        cpus = _share(options, info).cpus
        rates = gpu if gpu.flops_per_second else _measured(Share(cpus=cpus), 0, todo)
        anything = replace(rates, memory_bytes=sys.maxsize)
        store = TrialStore(location(options.storage))
        plan = make_plan(resolved.trials, resolved.refused, dataset.manifest, store, anything, 1, known)
        sized = by_need(plan, dataset.manifest, store, info, gpu, cpus, stacked)
        check_not_empty(sized.plan)
        if todo:
            check_shares([own.first for own in sized.shares.values()], info)
    return sized.by_one_worker() if options.executor is Executor.POOL else sized


def _measured(share: Share, memory_bytes: int, todo: bool) -> Machine:
    """What a trial's share of this machine does, measured only where a trial is to run."""
    if not todo:
        return replace(IDLE, memory_bytes=memory_bytes)
    from recscale.study.rates import measure_machine  # needs torch

    return measure_machine(share.threads, memory_bytes)


def _describe(info: ClusterInfo) -> str:
    return f"{info.nodes} nodes, {info.cpus:g} CPUs, {info.gpus:g} GPUs, {'local' if info.started_here else 'joined'}"


def _share(options: LaunchOptions, info: ClusterInfo) -> Share:
    usual = default_share(info)
    return Share(
        cpus=usual.cpus if options.cpus_per_trial is None else options.cpus_per_trial,
        gpus=usual.gpus if options.gpus_per_trial is None else options.gpus_per_trial,
        workers=options.workers_per_trial,
        parallel=options.parallel,
    )


def _this_machine() -> ClusterInfo:
    """What a local Ray would have, without starting one."""
    shape = NodeShape(float(os.cpu_count() or 1), float(len(gpus_here())))
    return ClusterInfo(shape.cpus, shape.gpus, 1, "this machine", True, (shape,))


def _memory(options: LaunchOptions, share: Share, info: ClusterInfo) -> int:
    """Bytes one worker may use: as told, else GPU memory times the share, else host memory over the workers on it."""
    if options.memory_per_trial is not None:
        return int(options.memory_per_trial * 2**30)
    gpus = gpus_here() if share.gpus else ()
    if gpus:
        return int(gpus[0].memory_bytes * share.gpus)
    host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return host // max(1, slots(replace(share, workers=1), _this_machine()))
