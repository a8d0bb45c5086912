"""From the finished trials of a study to its scaling curves and verdicts: which trials form which curve."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from recscale.curves.curve import Observation, Target, grouped_family
from recscale.curves.scaling import FittedCurve, fit_curve
from recscale.curves.verdict import Better, Verdict, judge
from recscale.records import Arm, ModelSpec, TrainSpec, TrialGroup, TrialResult, TrialSpec

Finished = tuple[TrialSpec, TrialResult]
FamilyTrials = tuple[tuple[str, str], list[Finished]]
"""Label and variant of a family, and its trials."""

METRICS = {
    "test_auc": Target.COMPLEMENT,
    "test_log_loss": Target.VALUE,
    "test_normalized_entropy": Target.VALUE,
}
"""Fitted metrics, and what of each a law is fitted to."""

EvalNoise = Callable[[TrialSpec, str], float | None]
"""A trial's standard error of a metric by the finite test set."""


def study_curves(
    finished: Sequence[Finished], groups: Sequence[TrialGroup] = (), eval_noise: EvalNoise = lambda *_: None
) -> tuple[FittedCurve, ...]:
    """One curve per family, variant, group, arm and metric, against scale; eval noise is that of its first trial."""
    return tuple(
        fit_curve(
            [observe(trial, metric) for trial in trials],
            family=family,
            variant=variant,
            arm=arm,
            metric=metric,
            target=target,
            eval_noise=eval_noise(trials[0][0], metric),
        )
        for (family, variant), members in by_family(finished, groups)
        for arm, trials in arms(members).items()
        for metric, target in METRICS.items()
    )


def judge_families(finished: Sequence[Finished], groups: Sequence[TrialGroup] = ()) -> tuple[Verdict, ...]:
    """What each family's trials, in each group, say about AUC, in numbers and in a sentence."""
    verdicts = []
    for (family, _), members in by_family(finished, groups):
        by_arm = arms(members)
        single = by_arm.get(Arm.SINGLE.value, [])
        multi = next((trials for arm, trials in by_arm.items() if arm != Arm.SINGLE.value), [])
        verdicts.append(
            judge(
                family,
                metric="test_auc",
                better=Better.HIGHER,
                single=[observe(trial, "test_auc") for trial in single],
                multi=[observe(trial, "test_auc") for trial in multi],
                ia_ratio=[observe(trial, "ia_ratio_mean") for trial in single],
            )
        )
    return tuple(verdicts)


def arms(trials: Sequence[Finished]) -> dict[str, list[Finished]]:
    """Trials of one family by curve: SE, and ME, which starts at the common base where the sets follow the scale.

    Where one scale has several numbers of sets above 1, each number is a curve of its own: ME-2, ME-4, ...
    """
    single = [trial for trial in trials if trial[0].model.arm is Arm.SINGLE]
    multi = [trial for trial in trials if trial[0].model.arm is Arm.MULTI]
    found = {Arm.SINGLE.value: single} if single else {}
    cells = {(spec.model.scale, spec.model.num_sets) for spec, _ in multi}
    if len(cells) > len({scale for scale, _ in cells}):
        numbers = sorted({sets for _, sets in cells})
        by_number = {n: [trial for trial in multi if trial[0].model.num_sets == n] for n in numbers}
        return found | {f"{Arm.MULTI.value}-{n}": members for n, members in by_number.items()}
    if multi:
        base = [trial for trial in single if trial[0].model.scale == 1 and _all_follow_scale(multi)]
        found[Arm.MULTI.value] = base + multi
    return found


def _all_follow_scale(multi: Iterable[Finished]) -> bool:
    return all(spec.model.num_sets == spec.model.scale for spec, _ in multi)


def by_family(finished: Sequence[Finished], groups: Sequence[TrialGroup] = ()) -> list[FamilyTrials]:
    """Trials per family and variant, in each group; a setting that differs within a family is part of its label."""
    labelled = []
    for group in groups or (None,):
        chosen = None if group is None else {*group.trial_ids}
        members = [trial for trial in finished if chosen is None or trial[0].trial_id in chosen]
        labels = _labels([spec for spec, _ in members], group.per_cell if group else ())
        for spec, result in members:
            label = labels[spec.configuration]
            if group and len(groups) > 1:
                label = grouped_family(label, group.name)
            labelled.append(((label, spec.model.variant.value), (spec, result)))
    ordered = sorted(labelled, key=lambda item: item[0])
    return [(key, [trial for _, trial in group]) for key, group in groupby(ordered, key=lambda item: item[0])]


def _labels(specs: Iterable[TrialSpec], per_cell: Sequence[str]) -> dict[tuple[ModelSpec, TrainSpec], str]:
    """Family of each configuration, with the settings, beside the grid's own axes and those per cell, that differ."""
    configurations = {spec.configuration for spec in specs}
    further = {(model, train): _further(model, train) for model, train in configurations}
    values: dict[str, dict[str, set[object]]] = {}
    for (model, _), settings in further.items():
        seen = values.setdefault(model.family, {})
        for name, value in settings.items():
            seen.setdefault(name, set()).add(value)
    differing = {
        family: [name for name, found in seen.items() if len(found) > 1 and name not in per_cell]
        for family, seen in values.items()
    }
    return {
        (model, train): " ".join([model.family, *(f"{name}={settings[name]}" for name in differing[model.family])])
        for (model, train), settings in further.items()
    }


def _further(model: ModelSpec, train: TrainSpec) -> dict[str, object]:
    neutral: ModelSpec = replace(model, scale=1.0, num_sets=1)
    return {**vars(neutral), **vars(train)}


def cells_of(trials: Iterable[Finished]) -> dict[tuple[float, int], list[Finished]]:
    """Trials of one family by scale and number of sets, ascending; those of one cell differ in their seed."""
    cells: dict[tuple[float, int], list[Finished]] = {}
    for trial in sorted(trials, key=lambda trial: (trial[0].model.scale, trial[0].model.num_sets, trial[0].seed)):
        cells.setdefault((trial[0].model.scale, trial[0].model.num_sets), []).append(trial)
    return cells


def observe(trial: Finished, name: str, x: float | None = None) -> Observation:
    """One trial's value of a test metric or a collapse metric, at x or at its scale."""
    spec, result = trial
    part = result.test if name.startswith("test_") else result.collapse
    value = getattr(part, name.removeprefix("test_"))
    return Observation(spec.model.scale, spec.model.scale if x is None else x, float(value), spec.trial_id)
