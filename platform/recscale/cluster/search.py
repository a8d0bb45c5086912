"""The search of a tuning study: every cell's settings, one cell after the other, each on the whole cluster."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from recscale.cluster.launch import LaunchOptions, cluster_of, size_trials
from recscale.cluster.shares import slots
from recscale.cluster.tuning import SampleRuns, search_cell
from recscale.data.reader import Dataset
from recscale.errors import ConfigError, TrialError
from recscale.storage.location import check_storage, location
from recscale.study.claims import Claims
from recscale.study.grid import Grid, ResolvedGrid, resolve
from recscale.study.ledger import Ledger, tuned_settings, write_samples
from recscale.study.plan import Plan, check_not_empty
from recscale.study.progress import Progress
from recscale.study.search import SearchCell, SearchOptions, check_search
from recscale.study.search_text import search_text, winners_text
from recscale.study.study import check_name
from recscale.study.tuned import TunedSettings, write_tuned


@dataclass(frozen=True)
class Found:
    """What a search came to."""

    tuned: TunedSettings
    """The settings that won, of the cells that have some."""
    missing: int
    """Samples without an outcome: not run yet, or failed."""


def search(name: str, dataset: Dataset, grid: Grid, options: SearchOptions, how: LaunchOptions) -> Found:
    """Tunes every cell of the grid, going on from its ledger; with `how.plan`, only prints what there is to do.

    Raises ConfigError where the search cannot be, TrialError where not one sample finishes.
    """
    check_name(name)
    if grid.axes:
        names = ", ".join(axis.field for axis in grid.axes)
        raise ConfigError(f"got the axes {names}, but a search tunes family x scale x sets; run one study per value")
    if how.workers_per_trial != 1:
        raise ConfigError(
            f"workers_per_trial is {how.workers_per_trial}, but a search trains each sample by one worker; leave it out"
        )
    resolved = resolve(grid, dataset.manifest.fingerprint)
    specs = tuple(dict.fromkeys(replace(spec, seed=options.search_seed) for spec in resolved.trials))
    check_search(options, grid.seeds, specs)
    storage = location(how.storage)
    check_storage(storage)
    folder = storage / name
    with cluster_of(how, dataset, todo=True) as info:
        # In a place of its own, for samples are no trials: what the storage has finished says nothing of them.
        apart = replace(how, storage=str(folder))
        sized = size_trials(ResolvedGrid(specs, resolved.refused), dataset, apart, info, todo=True).without_teams()
        plan = sized.plan
        check_not_empty(plan)
        ledgers = [Ledger(folder, SearchCell(trial.spec, options)) for trial in plan.trials]
        shares = [sized.shares[trial.spec.trial_id].first for trial in plan.trials]
        runs = [SampleRuns(str(dataset.ref().path), share, slots(share, info), how.max_retries) for share in shares]
        print(search_text(ledgers, plan, [str(share) for share in shares], [each.slots for each in runs]), flush=True)
        if not how.plan:
            with Claims(storage) as claims:
                _search_all(ledgers, runs, plan, claims)
    found = Found(tuned_settings(ledgers), sum(len(ledger.missing()) for ledger in ledgers))
    if not how.plan:
        _write(ledgers, found)
    return found


def _search_all(ledgers: Sequence[Ledger], runs: Sequence[SampleRuns], plan: Plan, claims: Claims) -> None:
    """Searches every cell, those that another driver searches last: what it has tried is not tried again."""
    names = [f"{ledger.folder.parent.parent.name}-{ledger.cell.cell_id}" for ledger in ledgers]
    cells = dict(zip(names, zip(ledgers, runs, strict=True), strict=True))
    planned = {
        ledger.sample_id(number): trial.seconds
        for ledger, trial in zip(ledgers, plan.trials, strict=True)
        for number in ledger.missing()
    }
    done = sum(len(ledger.done()) for ledger in ledgers)
    with Progress(planned, done, plan.slots, unit="sample") as progress:
        for cell in claims.each(cells):
            search_cell(*cells[cell], progress)


def _write(ledgers: Sequence[Ledger], found: Found) -> None:
    """Says and keeps what was found."""
    print(winners_text(ledgers), flush=True)
    study_folder = ledgers[0].folder.parent.parent
    write_samples(study_folder, ledgers)
    if not found.tuned.cells:
        raise TrialError(f"no sample of any cell finished, so nothing is tuned; the samples are in {study_folder}")
    write_tuned(study_folder, found.tuned)
