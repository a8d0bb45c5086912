"""Records of a scaling curve: what was observed, what was fitted, and with what certainty."""

from dataclasses import dataclass
from enum import StrEnum


class Target(StrEnum):
    """What of a metric a law is fitted to; either is a loss that no model brings below 0."""

    VALUE = "value"
    """The metric itself: log loss, normalized entropy."""
    COMPLEMENT = "complement"
    """1 - the metric, between 0 and 1: 1 - AUC. The curve shown is 1 - law."""


def grouped_family(family: str, group: str) -> str:
    """How curves and verdicts call the family where a study compares groups of its trials, e.g. dcnv2 tuned."""
    return f"{family} {group}"


@dataclass(frozen=True)
class Observation:
    """One trial's value of one metric."""

    scale: float
    """Embedding budget of the trial as a multiple of base_dim."""
    x: float
    """Position on the curve's axis: the scale itself, table_params, dense_params or flops_per_sample."""
    value: float
    """The metric."""
    trial_id: str
    """The trial; trials at one scale differ in their seed."""


@dataclass(frozen=True)
class CurvePoint:
    """All trials at one scale."""

    scale: float
    """Embedding budget as a multiple of base_dim."""
    x: float
    """Position on the curve's axis."""
    mean: float
    """Mean over seeds."""
    std: float | None
    """Seed noise: standard deviation over seeds with n - 1; None for one seed."""
    seeds: int
    """Number of trials."""
    trial_ids: tuple[str, ...]
    """The trials."""


@dataclass(frozen=True)
class Parameter:
    """One fitted parameter."""

    name: str
    """As the law's record names it: floor, amplitude, exponent, ..."""
    value: float
    """Estimate from all observations."""
    low: float | None
    """Lower end of the bootstrap interval; None for a law that was not selected."""
    high: float | None
    """Upper end of the bootstrap interval; None for a law that was not selected."""
    at_bound: bool
    """Whether the estimate lies at a bound of the law: the data do not identify it."""


@dataclass(frozen=True)
class CandidateFit:
    """One law that the observations could have been described by."""

    law: str
    """Its name."""
    formula: str
    """Its mean."""
    parameters: tuple[Parameter, ...]
    """Its parameters."""
    aicc: float
    """Corrected Akaike information criterion; lower is better."""
    backtest: float | None
    """|law fitted without the largest scale - mean observed there|; None where too few scales would be left."""
    rss: float
    """Residual sum of squares over all trials."""
    converged: bool
    """Whether the fit came to a minimum."""
    condition_number: float | None
    """Condition number of the search for its shapes; None where the data do not tell two shapes apart."""


@dataclass(frozen=True)
class Curve:
    """One metric of one family and arm against one axis."""

    family: str
    """Family of the model."""
    variant: str
    """paper | fair."""
    arm: str
    """SE | ME."""
    metric: str
    """Name of the metric."""
    x_axis: str
    """scale, table_params, dense_params or flops_per_sample."""
    target: Target
    """value | complement: what of the metric the laws and their parameters are of."""
    points: tuple[CurvePoint, ...]
    """One per scale, by ascending x."""
    law: str | None
    """The selected law; None where nothing could be fitted."""
    formula: str
    """The selected law with its numbers; empty where nothing could be fitted."""
    candidates: tuple[CandidateFit, ...]
    """Every law that could be fitted, simplest first."""
    selection: str
    """Why the law was selected, and whether leaving the largest scale out agrees; empty where nothing was fitted."""
    seed_noise: float | None
    """Standard deviation between seeds, pooled over scales; None where no scale has two seeds."""
    eval_noise: float | None
    """Standard error of one trial's metric by the finite test set, which all trials share; None where unknown."""
    level: float
    """Nominal coverage of all intervals."""
    grid_x: tuple[float, ...]
    """Positions between the smallest and the largest x, at which the curve is drawn."""
    grid_mean: tuple[float, ...]
    """The metric there by the selected law."""
    grid_low: tuple[float, ...]
    """Lower ends of the bootstrap intervals of the mean."""
    grid_high: tuple[float, ...]
    """Upper ends of the bootstrap intervals of the mean."""
    run_low: tuple[float, ...]
    """Lower ends of the intervals of one new run, on the same test rows; on others add eval_noise."""
    run_high: tuple[float, ...]
    """Upper ends of the intervals of one new run, on the same test rows; on others add eval_noise."""
    note: str
    """What limits the fit and what to add; empty where nothing does."""
