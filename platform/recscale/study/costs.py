"""What a trial costs and whether it can be trained, by its model: what a plan asks of torch."""

import math

from recscale.data.manifest import Manifest
from recscale.errors import ConfigError
from recscale.models.accounting import account
from recscale.records import ModelCost, Parallel, TrialSpec, WorkerCost
from recscale.training.parallel import check_parallel
from recscale.training.schedule import check_settings
from recscale.training.traffic import worker_cost


def checked_cost(spec: TrialSpec, manifest: Manifest) -> ModelCost:
    """Size and cost of the whole trial; ConfigError where its family cannot build or penalise it."""
    cost = account(spec.model, spec.train, manifest.vocabulary_sizes)
    check_settings(spec, len(manifest.fields))
    return cost


def can_be_trained(spec: TrialSpec, manifest: Manifest) -> bool:
    """Whether its family can build and penalise the trial."""
    try:
        checked_cost(spec, manifest)
    except ConfigError:
        return False
    return True


def check_divided(spec: TrialSpec, manifest: Manifest, parallel: Parallel, workers: int) -> None:
    """ConfigError where so many workers cannot divide the trial."""
    rows = math.ceil(manifest.split("train").rows * spec.train.train_fraction)
    check_parallel(spec, parallel, workers, rows, sum(manifest.vocabulary_sizes))


def divided(spec: TrialSpec, manifest: Manifest, parallel: Parallel, workers: int) -> WorkerCost:
    """What one of several workers costs; ConfigError where they cannot divide the trial."""
    check_divided(spec, manifest, parallel, workers)
    return worker_cost(spec.model, spec.train, manifest.vocabulary_sizes, parallel, workers)
