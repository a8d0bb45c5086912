"""Which of several models nobody beats in both cost and quality."""

import numpy as np
from numpy.typing import NDArray

from recscale.curves.laws import Array
from recscale.curves.verdict import Better


def pareto_front(cost_S: Array, quality_S: Array, better: Better) -> NDArray[np.bool_]:
    """True where no other costs at most as much and is at least as good, one of the two strictly. O(S log S)."""
    good_S = quality_S if better is Better.HIGHER else -quality_S
    order = np.lexsort((-good_S, cost_S))
    front = np.zeros(len(order), dtype=bool)
    best, best_cost = -np.inf, np.nan
    for index in order:
        twin = good_S[index] == best and cost_S[index] == best_cost
        if good_S[index] > best or twin:
            front[index], best, best_cost = True, good_S[index], cost_S[index]
    return front
