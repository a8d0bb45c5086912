"""A plan as text: one line per grid cell and seed, then the totals and what was refused."""

from collections.abc import Mapping, Sequence

from recscale.records import ModelSpec, TrainSpec, to_plain
from recscale.study.plan import Plan, PlannedTrial
from recscale.study.results import further_axes
from recscale.study.store import TrialStatus

SENT_HEADER = "sent/step"
NO_SHARE = "-"
"""Share of a trial that is finished."""
HEADER = (
    f"{'trial':12} {'family':12} {'scale':>5} {'sets':>4} {'dim':>4} {'seed':>4} {'table':>8} {'dense':>8} "
    f"{'FLOPs/row':>9} {'bytes/step':>10} {'memory':>8} {'seconds':>7}  {'share':10} status"
)


def plan_text(plan: Plan, shares: Mapping[str, str]) -> str:
    """The whole plan, with the share of each trial that is given one, by id.

    Numbers are computed before launch, seconds are estimates unless a seed has been run.
    """
    axes = further_axes([trial.spec for trial in plan.trials])
    configurations = {trial.spec.configuration for trial in plan.trials}
    settings = {configuration: _settings(*configuration, axes) for configuration in configurations}
    several = any(trial.worker.sent_bytes_per_step for trial in plan.trials)
    lines = [HEADER + (f" {SENT_HEADER:>10}" if several else "")]
    for trial in plan.trials:
        sent = f" {_short(trial.worker.sent_bytes_per_step):>10}" if several else ""
        own = settings[trial.spec.configuration]
        lines.append(f"{_line(trial, shares.get(trial.spec.trial_id, NO_SHARE))}{sent} {own}".rstrip())
    lines += [f"refused: {refusal.reason}" for refusal in plan.refused]
    lines += [f"slow: {warning}" for warning in plan.warnings]
    finished = sum(trial.status is TrialStatus.FINISHED for trial in plan.trials)
    lines.append(
        f"{len(plan.trials)} trials, {finished} finished, {len(plan.refused)} points refused; "
        f"{plan.slots} at a time, about {time_text(plan.seconds_left)} left"
    )
    if several:
        lines.append(
            "memory is one worker's, of finished trials as of one alone; sent/step is what one worker sends to the "
            "others of its trial, in bytes"
        )
    return "\n".join(lines)


def _line(trial: PlannedTrial, share: str) -> str:
    model, cost, memory = trial.spec.model, trial.cost, trial.worker.peak_memory_bytes
    return (
        f"{trial.spec.trial_id:12} {model.family[-12:]:12} {model.scale:5g} {model.num_sets:4} {model.embed_dim:4} "
        f"{trial.spec.seed:4} {_short(cost.table_params):>8} {_short(cost.dense_params):>8} "
        f"{_short(cost.flops_per_sample):>9} {_short(cost.bytes_per_step):>10} {_short(memory):>8} "
        f"{trial.seconds:7.0f}  {share:10} {trial.status.value}"
    )


def _settings(model: ModelSpec, train: TrainSpec, axes: Sequence[str]) -> str:
    """The settings in which trials of the plan differ, where they are not the usual ones."""
    usual = {**to_plain(ModelSpec(model.family)), **to_plain(TrainSpec())}
    own = {**to_plain(model), **to_plain(train)}
    return " ".join(f"{axis}={own[axis]}" for axis in axes if own[axis] != usual[axis])


def _short(number: float) -> str:
    """Three digits and a unit: 62.6M."""
    for unit in ("", "k", "M", "G"):
        if number < 1000:
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g}T"


def time_text(seconds: float) -> str:
    """Hours and minutes, or minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
