"""Chooses a law by the corrected Akaike information criterion, and checks it by leaving the largest scale out.

Every trial is an observation. A law with as many parameters as there are distinct scales would pass through every mean
and could not be found wrong, so that it is a candidate only where there are more scales than parameters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recscale.curves.fitting import Fit, checked, fit
from recscale.curves.laws import CONSTANT, Array, Law

TIE_MARGIN = 2.0
"""AICc differences up to this are no evidence (Burnham and Anderson 2002, section 2.6): the simpler law is taken."""


@dataclass(frozen=True)
class Scored:
    """A fitted candidate, its criterion and its back-test."""

    fit: Fit
    """The fit."""
    aicc: float
    """Its criterion."""
    backtest: float | None
    """|law fitted without the largest scale - mean observed there|; None where too few scales would be left."""


@dataclass(frozen=True)
class Selection:
    """The candidates, the choice among them, and what kept others out."""

    candidates: tuple[Scored, ...]
    """Every law that had enough observations, in the order given."""
    chosen: Scored | None
    """The selected one; None where there was no candidate."""
    reason: str
    """Why it was selected, and what the back-test says of it; empty where nothing was."""
    note: str
    """Which laws lacked observations and what to add; empty where none did."""


def aicc(rss: float, observations: int, mean_parameters: int, magnitude: float) -> float:
    """n ln(rss / n) + 2k + 2k(k+1)/(n-k-1), k = the mean's parameters and the variance (Hurvich and Tsai 1989).

    `magnitude` is the largest |y|: residuals below its rounding error count as that, which keeps exact fits finite.
    """
    count = mean_parameters + 1
    rounding = (16 * np.finfo(np.float64).eps * max(magnitude, np.finfo(np.float64).tiny ** 0.25)) ** 2
    spread = max(rss / observations, rounding)
    return observations * math.log(spread) + 2 * count + 2 * count * (count + 1) / (observations - count - 1)


def select(laws: Sequence[Law], x: Sequence[float] | Array, y: Sequence[float] | Array) -> Selection:
    """Fits every law that has enough observations and chooses by AICc, within TIE_MARGIN the one of fewest parameters.

    DataError: x or y not as expected.
    """
    x_VS, y_S = checked(CONSTANT, x, y)
    distinct = len(np.unique(x_VS[0]))
    lacks = {law.name: lack_of(law, distinct, y_S.size) for law in laws}
    magnitude = float(np.abs(y_S).max())
    candidates = []
    for law in laws:
        if not lacks[law.name]:
            fitted = fit(law, x_VS, y_S)
            criterion = aicc(fitted.rss, y_S.size, len(fitted.parameters), magnitude)
            candidates.append(Scored(fitted, criterion, backtest(law, x_VS, y_S)))
    note = "; ".join(f"{name} not fitted: {lack}" for name, lack in lacks.items() if lack)
    chosen = _choose(candidates)
    return Selection(tuple(candidates), chosen, _reason(candidates, chosen, x_VS[0], y_S) if chosen else "", note)


def backtest(law: Law, x_VS: Array, y_S: Array) -> float | None:
    """How far the law fitted without the largest x misses the mean there; None where fewer x than parameters remain."""
    largest_S = x_VS[0] == x_VS[0].max()
    if len(np.unique(x_VS[0, ~largest_S])) < len(law.parameter_names):
        return None
    earlier = fit(law, x_VS[:, ~largest_S], y_S[~largest_S])
    at_largest = law.mean(np.array(earlier.parameters), x_VS[:, largest_S][:, :1])
    return abs(float(at_largest[0]) - float(y_S[largest_S].mean()))


def lack_of(law: Law, distinct: int, observations: int) -> str:
    """What a law lacks to be fitted, and what to add; empty where it lacks nothing."""
    parameters = len(law.parameter_names)
    needs = []
    if distinct <= parameters:
        needs.append(f"{distinct} distinct scales, needs {parameters + 1}: add scales")
    if observations < parameters + 3:
        needs.append(f"{observations} trials, needs {parameters + 3}: add seeds or scales")
    return " and ".join(needs)


def _choose(candidates: list[Scored]) -> Scored | None:
    """The simplest converged candidate within TIE_MARGIN of the best; the better one among equally simple."""
    converged = [scored for scored in candidates if scored.fit.converged]
    if not converged:
        return None
    best = min(scored.aicc for scored in converged)
    near = [scored for scored in converged if scored.aicc <= best + TIE_MARGIN]
    return min(near, key=lambda scored: (len(scored.fit.parameters), scored.aicc))


def _reason(candidates: list[Scored], chosen: Scored, x_S: Array, y_S: Array) -> str:
    """The choice in words, with the back-test's verdict on it."""
    if chosen.backtest is None:
        return "selected by AICc; too few scales to leave the largest out and test it"
    tested = [scored for scored in candidates if scored.backtest is not None]
    best = min(tested, key=lambda scored: scored.backtest or 0.0)
    if best is chosen:
        return f"selected by AICc; the back-test agrees: it misses the largest scale by {chosen.backtest:.2g}"
    last = y_S[x_S == x_S.max()]
    known = f"within {2 * last.std(ddof=1) / math.sqrt(len(last)):.2g} at two standard errors" if len(last) > 1 else ""
    return (
        f"selected by AICc; the back-test prefers {best.fit.law.name}, which misses the largest scale by "
        f"{best.backtest:.2g} against {chosen.backtest:.2g}{f' (its mean is known {known})' if known else ''}: AICc is "
        f"kept, since it weighs every scale and the back-test only one, but forecasts are less certain than they look"
    )
