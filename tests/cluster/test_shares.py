"""Shares against hand-counted machines."""

import pytest

from recscale.cluster.shares import ClusterInfo, NodeShape, Share, check_shares, default_share, slots
from recscale.errors import ConfigError
from recscale.records import Parallel


def cluster(*machines: tuple[float, float]) -> ClusterInfo:
    shapes = tuple(NodeShape(cpus, gpus) for cpus, gpus in machines)
    cpus, gpus = sum(shape.cpus for shape in shapes), sum(shape.gpus for shape in shapes)
    return ClusterInfo(cpus, gpus, len(shapes), "head:6379", started_here=False, shapes=shapes)


@pytest.mark.parametrize(
    ("share", "machines", "expected"),
    [
        (Share(), [(2, 0)], 2),
        (Share(cpus=0.3), [(0.9, 0)], 3),
        (Share(cpus=3), [(4, 0), (4, 0)], 2),
        (Share(gpus=1), [(4, 0), (8, 4), (8, 4)], 8),
        (Share(gpus=1), [(2, 8)], 2),
        (Share(cpus=0, gpus=1), [(2, 8)], 8),
        (Share(gpus=0.25), [(64, 2)], 8),
        (Share(gpus=0.4), [(64, 5)], 10),
        (Share(gpus=2), [(64, 3), (64, 3)], 2),
        (Share(gpus=1, workers=3), [(8, 2), (8, 2)], 1),
        (Share(cpus=3), [(2, 0), (2, 0)], 0),
        (Share(gpus=1), [(8, 0)], 0),
    ],
)
def test_slots_count_whole_machines_and_whole_gpus(
    share: Share, machines: list[tuple[float, float]], expected: int
) -> None:
    info = cluster(*machines)
    assert slots(share, info) == expected
    if expected:
        check_shares([share], info)
    else:
        with pytest.raises(ConfigError, match="lower the share or join a larger cluster"):
            check_shares([Share(cpus=0.1), share], info)


def test_default_share_takes_a_gpu_where_there_is_one() -> None:
    assert default_share(cluster((8, 0))) == Share(cpus=1, gpus=0)
    assert default_share(cluster((2, 0), (8, 4))) == Share(cpus=1, gpus=1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cpus": 0.0}, "0 CPUs and 0 GPUs"),
        ({"cpus": -1.0}, "-1 CPUs"),
        ({"cpus": float("nan")}, "nan CPUs"),
        ({"gpus": 1.5}, "1.5 GPUs; expected a fraction of one GPU or a whole number"),
        ({"workers": 0}, "0 workers"),
        ({"gpus": 0.5, "workers": 2}, "give each a whole GPU"),
    ],
)
def test_a_senseless_share_is_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Share(**values)


def test_threads_follow_the_cpus() -> None:
    assert [Share(cpus=cpus).threads for cpus in (0.5, 1, 3.7)] == [1, 1, 3]


def test_a_share_says_how_its_workers_divide_a_trial() -> None:
    assert [str(Share(workers=count, parallel=Parallel.SETS)) for count in (1, 2)] == ["1 CPU", "2 x (1 CPU) sets"]
