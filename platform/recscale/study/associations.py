"""From the finished trials of a study to how their collapse metrics go together with quality."""

from collections.abc import Callable, Sequence
from statistics import fmean

from recscale.curves.association import Association, Pair, associate
from recscale.curves.prediction import (
    MEASURE_NAMES,
    OF_SEVERAL_SETS,
    ArmAssociations,
    Measure,
    MeasureAssociation,
    prediction_sentence,
)
from recscale.records import Arm, TrialGroup
from recscale.study.curves import Finished, arms, by_family

Value = Callable[[Finished], float]


def study_associations(finished: Sequence[Finished], groups: Sequence[TrialGroup] = ()) -> tuple[ArmAssociations, ...]:
    """Every measure against test AUC, within each family and arm."""
    return tuple(
        _of_arm(family, variant, arm, trials, base_auc(members))
        for (family, variant), members in by_family(finished, groups)
        for arm, trials in arms(members).items()
    )


def base_auc(members: Sequence[Finished]) -> float | None:
    """Mean test AUC of one family's single-embedding trials at their smallest scale; None where there are none."""
    single = [trial for trial in members if trial[0].model.arm is Arm.SINGLE]
    smallest = min((spec.model.scale for spec, _ in single), default=None)
    return fmean(result.test.auc for spec, result in single if spec.model.scale == smallest) if single else None


def measure_of(trial: Finished, measure: Measure) -> float | None:
    """One trial's measure; None where it has none."""
    _, result = trial
    if measure is Measure.EFFECTIVE_RANK_RATIO:
        return result.collapse.effective_rank_mean / result.embed_dim
    value: float | None = getattr(result.collapse, measure.value)
    return value


def _of_arm(family: str, variant: str, arm: str, trials: Sequence[Finished], base: float | None) -> ArmAssociations:
    shown = [measure for measure in Measure if arm != Arm.SINGLE.value or measure not in OF_SEVERAL_SETS]
    measures = tuple(_of_measure(trials, measure) for measure in shown)
    return ArmAssociations(
        family=family,
        variant=variant,
        arm=arm,
        base_auc=base,
        trial_ids=tuple(spec.trial_id for spec, _ in trials),
        measures=measures,
        sentence=prediction_sentence(family, arm, measures),
    )


def _of_measure(trials: Sequence[Finished], measure: Measure) -> MeasureAssociation:
    with_scale = _associate(trials, measure, "scale", lambda trial: trial[0].model.scale).spearman
    return MeasureAssociation(
        measure=measure,
        with_quality=_associate(trials, measure, "test AUC", lambda trial: trial[1].test.auc),
        with_scale=with_scale.value if with_scale else None,
    )


def _associate(trials: Sequence[Finished], measure: Measure, name: str, value: Value) -> Association:
    """A measure against another number of the trials that have it."""
    pairs = [
        Pair((spec.model.scale, spec.model.num_sets), measured, value((spec, result)), spec.trial_id)
        for spec, result in trials
        if (measured := measure_of((spec, result), measure)) is not None
    ]
    return associate(pairs, x_name=MEASURE_NAMES[measure], y_name=name)
