"""The line against what may never happen: an overfull machine, a trial that nobody runs, one that waits for ever."""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recscale.cluster.packing import Grant, Line, Packing
from recscale.cluster.shares import NodeShape, Share
from recscale.cluster.simulation import Timeline, TrialTime, simulate

FOUR_NODES = (NodeShape(16, 2),) * 4
SHARES = (
    *(Share(gpus=part) for part in (1 / 8, 1 / 4, 1 / 2, 1, 2)),
    Share(gpus=1, workers=2),
    Share(gpus=1, workers=4),
    Share(cpus=2),
    Share(cpus=0.5, gpus=0.3),
)


def mixed(number: int, seed: int, shares: tuple[Share, ...] = SHARES) -> list[TrialTime]:
    """Trials of every share, whose times spread as widely as those of a study's scales."""
    draw = random.Random(seed)
    return [TrialTime(n, draw.lognormvariate(4, 1), draw.choice(shares)) for n in range(number)]


def check_legal(timeline: Timeline, shapes: tuple[NodeShape, ...]) -> None:
    """At every beginning, what is held of each machine's CPUs and of each single GPU is there."""
    for now in (stay.start for stay in timeline.stays):
        held = [stay for stay in timeline.stays if stay.start <= now < stay.end]
        grants = [grant for stay in held for grant in stay.grants]
        for machine, shape in enumerate(shapes):
            here = [grant for grant in grants if grant.machine == machine]
            assert sum(grant.cpus for grant in here) <= shape.cpus + 1e-6
            for gpu in range(int(shape.gpus)):
                assert sum(part for grant in here for number, part in grant.gpus if number == gpu) <= 1 + 1e-6
    for stay in timeline.stays:
        share = stay.trial.share
        assert len(stay.grants) == share.workers
        assert all(sum(part for _, part in grant.gpus) == pytest.approx(share.gpus) for grant in stay.grants)


@given(seed=st.integers(0, 10_000), number=st.integers(1, 60))
def test_every_share_is_legal_at_every_moment_and_every_trial_runs(seed: int, number: int) -> None:
    trials = mixed(number, seed)
    timeline = simulate(trials, FOUR_NODES)
    check_legal(timeline, FOUR_NODES)
    assert sorted(stay.trial.number for stay in timeline.stays) == list(range(number))
    assert timeline.makespan >= timeline.lower_bound * (1 - 1e-9)


def test_200_trials_on_4_nodes_of_2_gpus_come_near_the_lower_bound() -> None:
    """Ten studies: none above 1.25 times what no order can beat, 1.1 on the average."""
    ratios = []
    for seed in range(10):
        timeline = simulate(mixed(200, seed, SHARES[:6]), FOUR_NODES)
        check_legal(timeline, FOUR_NODES)
        ratios.append(timeline.makespan / timeline.lower_bound)
        print(f"makespan {ratios[-1]:.3f} of the lower bound, utilisation {timeline.utilisation:.3f}")
    assert max(ratios) < 1.25
    assert sum(ratios) / len(ratios) < 1.1


def test_a_large_share_is_not_overtaken_for_ever() -> None:
    """A hundred fractions that would keep every GPU busy, and behind the first eight one that wants two GPUs."""
    small = [TrialTime(n, 100 - n / 10, Share(gpus=1 / 2)) for n in range(100)]
    large = TrialTime(1000, 99.25, Share(gpus=2))
    stays = simulate([*small, large], (NodeShape(16, 2),) * 2).stays
    begun = next(stay.start for stay in stays if stay.trial is large)
    assert begun <= 100, "when the eight that ran before it have ended, and not after the others"


def test_equal_shares_never_wait_for_each_other() -> None:
    trials = mixed(50, seed=1, shares=(Share(),))
    timeline = simulate(trials, (NodeShape(2, 0),) * 2)
    ends = [0.0] * 4
    for trial in sorted(trials, key=lambda each: -each.seconds):
        first = ends.index(min(ends))
        ends[first] += trial.seconds
    assert timeline.makespan == pytest.approx(max(ends)), "list scheduling on four equal slots"


def test_a_fraction_goes_where_least_is_left() -> None:
    packing = Packing((NodeShape(8, 2), NodeShape(8, 2)))
    took = [packing.take(Share(gpus=part)) for part in (0.5, 1.0, 0.25, 0.25, 2.0, 0.125)]
    gpus = [grants[0].gpus if grants else None for grants in took]
    assert took[0] is not None
    half, whole, quarter, other_quarter, two, eighth = gpus
    assert half is not None
    assert quarter == other_quarter == ((half[0][0], 0.25),)
    assert whole != half
    assert two is not None, "a whole machine was left"
    assert eighth is None
    packing.give_back(took[0])
    assert packing.take(Share(gpus=0.125)) == (Grant(took[0][0].machine, 1.0, ((half[0][0], 0.125),)),)


@dataclass(eq=False)
class Job:
    """A trial in the hands of a Ray that places as it likes."""

    share: Share
    """What it holds."""
    log: list[int] = field(default_factory=list)
    """Steps at which it began and ended."""


@given(seed=st.integers(0, 10_000))
def test_no_trial_waits_for_ever_where_ray_places_at_random(seed: int) -> None:
    """A stand-in for Ray that puts each trial on any machine with room, in any order, and does not tell where."""
    draw = random.Random(seed)
    jobs = [Job(draw.choice(SHARES[:5])) for _ in range(40)]
    line = Line(jobs, FOUR_NODES)
    nodes = [Packing((shape,)) for shape in FOUR_NODES]
    pending: list[Job] = []
    running: list[tuple[Job, int, tuple[Grant, ...]]] = []
    for step in range(1_000):
        while (job := line.next()) is not None:
            assert not any(one.share.gpus > job.share.gpus for one in pending)
            pending.append(job)
        draw.shuffle(pending)
        for job in list(pending):
            for node in draw.sample(range(4), 4):
                if grants := nodes[node].take(job.share):
                    pending.remove(job)
                    running.append((job, node, grants))
                    job.log.append(step)
                    line.begun(job)
                    break
        if not running:
            assert not pending, "nothing runs, and what waits does not fit an empty cluster"
            break
        job, node, grants = running.pop(draw.randrange(len(running)))
        nodes[node].give_back(grants)
        line.ended(job)
        job.log.append(step)
    assert len(line) == 0
    assert all(len(job.log) == 2 for job in jobs)
