"""Ensembles of M separately trained base models, the control for M embedding sets: which groups, what they show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from statistics import fmean, stdev

import numpy as np

from recscale.curves.curve import Observation
from recscale.curves.differences import Difference, difference
from recscale.curves.verdict import Better

MOST_GROUPS = 10
"""Groups of one size that are scored at most."""


class Grouping(StrEnum):
    """How base models come together."""

    DISJOINT = "disjoint"
    """No model is in two groups, so that the spread over groups is that of ensembles trained anew."""
    OVERLAPPING = "overlapping"
    """There are too few models for two separate groups: groups share models and give a mean but no interval."""


@dataclass(frozen=True)
class Groups:
    """Base models in groups of one size."""

    grouping: Grouping
    """disjoint | overlapping."""
    members: tuple[tuple[str, ...], ...]
    """Trials of each group; empty where there are fewer models than a group needs."""


@dataclass(frozen=True)
class EnsembleCell:
    """One metric of the ensembles of M base models, beside M embedding sets and one set of M times the budget."""

    family: str
    """Family of the model, with the settings in which its trials differ."""
    variant: str
    """paper | fair."""
    metric: str
    """The metric."""
    members: int
    """M, the models of an ensemble; also the scale of its rivals, which have the same embedding budget."""
    seeds: int
    """Base models there are: single-embedding, scale 1."""
    groups: int
    """Ensembles scored."""
    grouping: str
    """disjoint | overlapping."""
    mean: float | None
    """Mean over the ensembles; None where there are too few base models for one."""
    std: float | None
    """Standard deviation over disjoint ensembles; None with fewer than two."""
    table_params: int
    """Entries of the tables of M base models."""
    dense_params: int
    """Entries of all their other parameters."""
    flops_per_sample: int
    """FLOPs of one row through all of them."""
    multi: float | None
    """Mean of the multi-embedding trials of M sets at scale M; None where there are none."""
    multi_value: float | None
    """multi - mean, in the metric's own direction."""
    multi_low: float | None
    """Lower end of the interval over seeds; None where either side has one."""
    multi_high: float | None
    """Upper end of the interval over seeds."""
    single: float | None
    """Mean of the single-embedding trials at scale M; None where there are none."""
    single_value: float | None
    """single - mean."""
    single_low: float | None
    """Lower end of the interval over seeds."""
    single_high: float | None
    """Upper end of the interval over seeds."""
    trial_ids: tuple[str, ...]
    """The base models."""
    note: str
    """What is lacking and what to add; empty where nothing is."""


def groups_of(trial_ids: Sequence[str], size: int, *, most: int = MOST_GROUPS, seed: int = 0) -> Groups:
    """Separate groups where two or more fit, else every group there is; at most `most`, drawn with the seed."""
    if len(trial_ids) >= 2 * size:
        count = min(len(trial_ids) // size, most)
        return Groups(Grouping.DISJOINT, tuple(tuple(trial_ids[i * size : (i + 1) * size]) for i in range(count)))
    found = list(combinations(trial_ids, size)) if math.comb(len(trial_ids), size) <= most else []
    if len(trial_ids) >= size and not found:
        rng = np.random.default_rng(seed)
        drawn: dict[tuple[int, ...], None] = {}
        while len(drawn) < most:
            drawn[tuple(sorted(rng.choice(len(trial_ids), size, replace=False).tolist()))] = None
        found = [tuple(trial_ids[i] for i in group) for group in drawn]
    return Groups(Grouping.OVERLAPPING, tuple(found))


def against(scores: Sequence[Observation], rivals: Sequence[Observation], grouping: Grouping) -> Difference | None:
    """The rivals' mean minus the ensembles', without an interval where groups overlap; None where one is missing."""
    if not scores or not rivals:
        return None
    if grouping is Grouping.DISJOINT:
        return difference(scores, rivals)
    first = scores[0]
    mean = Observation(first.scale, first.x, fmean(score.value for score in scores), first.trial_id)
    return difference([mean], rivals)


def spread(scores: Sequence[Observation], grouping: Grouping) -> float | None:
    """Standard deviation over disjoint ensembles; None where groups overlap."""
    return stdev(score.value for score in scores) if grouping is Grouping.DISJOINT else None


def lacking(size: int, seeds: int) -> str:
    """What more base models would give; empty where there are enough for an interval."""
    if seeds < size:
        return f"{size} base models needed, {seeds} found: run the study with --base-seeds {size}"
    if seeds < 2 * size:
        return f"{seeds} base models make no two separate groups of {size}: --base-seeds {2 * size} gives an interval"
    return ""


def ensemble_sentence(family: str, cells: Sequence[EnsembleCell], metric_name: str, better: Better) -> str:
    """What the largest ensembles of one family and metric that have a multi-embedding rival and an interval say."""
    judged = [cell for cell in cells if cell.mean is not None and cell.multi is not None]
    if not judged:
        reasons = [cell.note for cell in cells if cell.note] or [
            "no multi-embedding cell has as many sets as its scale"
        ]
        return f"{family}: no ensemble can be compared: {reasons[0]}."
    cell = max(judged, key=lambda cell: (cell.multi_low is not None, cell.members))
    what = (
        f"{cell.members} separate base models, their logits averaged, have {metric_name} {cell.mean:.4f}, "
        f"{cell.members} embedding sets {cell.multi:.4f}"
    )
    return f"{family}: {what}: {_outcome(cell, better)}."


def _outcome(cell: EnsembleCell, better: Better) -> str:
    """How multi-embedding does against the ensemble."""
    value = f"{cell.multi_value:+.4f}"
    if cell.multi_low is None or cell.multi_high is None:
        return f"{value}, without an interval ({cell.note or 'one seed of multi-embedding: add seeds'})"
    interval = f"{value} [{cell.multi_low:+.4f}, {cell.multi_high:+.4f}]"
    if cell.multi_low <= 0 <= cell.multi_high:
        return f"{interval}, within seed noise"
    good = (cell.multi_low > 0) == (better is Better.HIGHER)
    return f"{interval}, the sets are {'better' if good else 'worse'} than separate models"
