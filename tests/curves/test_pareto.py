import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recscale.curves.pareto import pareto_front
from recscale.curves.verdict import Better

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12)


@given(POINTS)
def test_the_front_is_what_no_other_point_dominates(points):
    cost, quality = np.array(points, dtype=float).T
    expected = [
        not any(c <= cost[i] and q >= quality[i] and (c < cost[i] or q > quality[i]) for c, q in points)
        for i in range(len(points))
    ]
    assert pareto_front(cost, quality, Better.HIGHER).tolist() == expected
    assert pareto_front(cost, -quality, Better.LOWER).tolist() == expected


def test_nothing_has_no_front():
    assert pareto_front(np.empty(0), np.empty(0), Better.HIGHER).size == 0
