"""How well a large study fills a large cluster, simulated: `python -m tests.benchmarks.scheduling STUDY`.

Times are those of a finished study's trials, times a factor; shares are what the planner gives to its models on an A10G
with tables of so many ids; the order is that of the executors, by their own code. Beside it, what no order can beat.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from recscale.cluster.gpus import KINDS
from recscale.cluster.shares import ClusterInfo, NodeShape
from recscale.cluster.simulation import Timeline, TrialTime, simulate
from recscale.cluster.sizing import by_need
from recscale.data.manifest import Manifest
from recscale.data.reader import Dataset
from recscale.models.accounting import account
from recscale.records import WorkerCost
from recscale.storage.location import location
from recscale.study.plan import Plan, PlannedTrial
from recscale.study.store import TrialStatus
from recscale.study.study import Study, read_study

KIND = "A10G"
GPUS_PER_MACHINE, CPUS_PER_MACHINE = 4, 48
SETTINGS = {"hidden_sizes": (400, 400)}
"""The paper's widths, for the models of which the memory is planned."""


def main() -> None:
    """Prints a table, a line per size of the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="folder of a finished study")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--gpus", type=int, default=256)
    parser.add_argument("--factor", type=float, default=1000.0, help="seconds here for each second there")
    parser.add_argument("--ids", type=int, nargs="+", default=[3_000_000, 10_000_000, 30_000_000])
    asked = parser.parse_args()
    study = read_study(location(str(asked.study)))
    info = cluster(asked.gpus)
    print("| ids | trials by share, GPUs | work / GPUs, h | longest, h | makespan, h | of the bound | GPU time held |")
    print("|---|---|---|---|---|---|---|")
    for ids in asked.ids:
        times = list(planned_times(study, ids, asked.trials, asked.factor, info))
        print(line(ids, simulate(times, info.shapes)))


def cluster(gpus: int) -> ClusterInfo:
    """Machines like a g5.12xlarge."""
    machine = NodeShape(CPUS_PER_MACHINE, GPUS_PER_MACHINE, KIND)
    shapes = (machine,) * (gpus // GPUS_PER_MACHINE)
    return ClusterInfo(machine.cpus * len(shapes), gpus, len(shapes), "simulated", False, shapes)


def planned_times(study: Study, ids: int, trials: int, factor: float, info: ClusterInfo) -> Iterator[TrialTime]:
    """Seeds of the study's cells, in turn, with the times of the seeds that were trained."""
    dataset = Dataset.open(study.spec.dataset.path).manifest
    manifest = _with_ids(dataset, ids)
    planned = []
    done = study.store.finished(study.spec.trials)
    for number in range(trials):
        spec, result = done[number % len(done)]
        model = replace(spec.model, **SETTINGS)
        train = replace(spec.train, batch_size=2048)
        cost = account(model, train, manifest.vocabulary_sizes)
        own = replace(spec, model=model, train=train, seed=number)
        worker = WorkerCost(cost.peak_memory_bytes, 0)
        planned.append(PlannedTrial(own, cost, worker, result.seconds * factor, TrialStatus.MISSING))
    sized = by_need(Plan(tuple(planned), (), 1), manifest, study.store, info, KINDS[KIND], cpus=1.0)
    assert not sized.plan.refused, sized.plan.refused
    for number, trial in enumerate(sized.plan.trials):
        yield TrialTime(number, trial.seconds, sized.shares[trial.spec.trial_id].first)


def _with_ids(manifest: Manifest, ids: int) -> Manifest:
    """The dataset with its vocabularies enlarged alike, so that all fields together have so many ids."""
    growth = ids / sum(manifest.vocabulary_sizes)
    fields = tuple(replace(f, vocabulary_size=max(2, round(f.vocabulary_size * growth))) for f in manifest.fields)
    return replace(manifest, fields=fields)


def line(ids: int, timeline: Timeline) -> str:
    """One row of the table."""
    trials = [stay.trial for stay in timeline.stays]
    counts = Counter(trial.share.gpus * trial.share.workers for trial in trials)
    shares = ", ".join(f"{count} x {share:g}" for share, count in sorted(counts.items()))
    work = sum(trial.gpu_seconds for trial in trials) / timeline.gpus / 3600
    longest = max(trial.seconds for trial in trials) / 3600
    return (
        f"| {ids / 1e6:g} million | {shares} | {work:.2f} | {longest:.2f} | {timeline.makespan / 3600:.2f} "
        f"| {timeline.makespan / timeline.lower_bound:.3f} | {timeline.utilisation:.0%} |"
    )


if __name__ == "__main__":
    main()
