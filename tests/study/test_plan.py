"""The plan: sizes, times and refusals before anything runs."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from recscale.data.reader import Dataset
from recscale.records import ModelSpec, Parallel, Penalty, Precision, TrialResult, TrialSpec
from recscale.study import rates
from recscale.study.machine import Machine
from recscale.study.plan import Plan, TeamShape, estimate_seconds, make_plan
from recscale.study.plan_text import plan_text
from recscale.study.rates import measure_machine
from recscale.study.store import TrialStatus, TrialStore
from recscale.study.study import Study

MACHINE = Machine(1e11, 3e11, 1e10, 1 << 34)


def _plan(study: Study, dataset: Dataset, machine: Machine = MACHINE) -> Plan:
    return make_plan(study.spec.trials, study.refused, dataset.manifest, study.store, machine, slots=2)


def test_finished_trials_are_known_and_lend_their_time_to_other_seeds(
    study: Study, small_dataset: Dataset, finish: Callable[[TrialStore, TrialSpec], TrialResult]
) -> None:
    first = study.spec.trials[0]
    finish(study.store, first)
    plan = {trial.spec: trial for trial in _plan(study, small_dataset).trials}
    assert plan[first].status is TrialStatus.FINISHED
    assert plan[replace(first, seed=1)].status is TrialStatus.MISSING
    assert plan[replace(first, seed=1)].seconds == 5.0
    assert plan[study.spec.trials[-1]].seconds != 5.0


def test_what_does_not_fit_into_memory_is_refused_by_name(study: Study, small_dataset: Dataset) -> None:
    sizes = sorted({trial.cost.peak_memory_bytes for trial in _plan(study, small_dataset).trials})
    tight = replace(MACHINE, memory_bytes=sizes[-2])
    plan = _plan(study, small_dataset, tight)
    assert len(plan.refused) == 1
    assert "run fewer trials at once" in plan.refused[0].reason
    assert all(trial.cost.peak_memory_bytes <= tight.memory_bytes for trial in plan.trials)


def test_what_a_family_cannot_build_is_refused_by_name_and_the_rest_is_planned(
    study: Study, small_dataset: Dataset
) -> None:
    narrow = ModelSpec("wukong", base_dim=1)
    trials = (*study.spec.trials, replace(study.spec.trials[0], model=narrow))
    plan = make_plan(trials, (), small_dataset.manifest, study.store, MACHINE, slots=2)
    assert [(refusal.point, "larger embed_dim" in refusal.reason) for refusal in plan.refused] == [
        ("wukong scale=1 sets=1", True)
    ]
    assert [trial.spec for trial in plan.trials] == list(study.spec.trials)


def test_a_penalty_that_a_family_does_not_admit_is_refused_by_name(study: Study, small_dataset: Dataset) -> None:
    train = replace(study.spec.trials[0].train, penalty=Penalty.PATTERN_ALIGNMENT)
    aligned = tuple(replace(spec, train=train) for spec in study.spec.trials)
    plan = make_plan((*study.spec.trials, *aligned), (), small_dataset.manifest, study.store, MACHINE, slots=2)
    kept = {(t.spec.model.family, t.spec.model.num_sets > 1) for t in plan.trials if t.spec in aligned}
    assert kept == {("dcnv2", True)}
    assert len(plan.trials) == len(study.spec.trials) + 4
    text = plan_text(plan, {trial.spec.trial_id: "1 CPU" for trial in plan.trials})
    assert "refused: dnn at scale 4 with 4 sets does not admit the penalty pattern_alignment: its interaction" in text
    assert text.count("missing penalty=pattern_alignment\n") == 4


@pytest.mark.parametrize("way", list(Parallel))
def test_a_plan_for_several_workers_shows_what_each_holds_and_sends(
    way: Parallel, study: Study, small_dataset: Dataset
) -> None:
    alone = {trial.spec: trial for trial in _plan(study, small_dataset).trials}
    manifest, team = small_dataset.manifest, TeamShape(2, way)
    plan = make_plan(study.spec.trials, (), manifest, study.store, MACHINE, slots=2, team=team)
    divided = [spec for spec in alone if way is not Parallel.SETS or spec.model.num_sets > 1]
    assert [trial.spec for trial in plan.trials] == divided
    assert all(0 < t.worker.peak_memory_bytes < alone[t.spec].worker.peak_memory_bytes for t in plan.trials)
    assert all(trial.cost == alone[trial.spec].cost for trial in plan.trials)
    text = plan_text(plan, {trial.spec.trial_id: "2 x (1 CPU)" for trial in plan.trials}).splitlines()
    assert text[0].endswith("sent/step")
    for line, trial in zip(text[1:], plan.trials, strict=False):
        unit = {"k": 1e3, "M": 1e6}.get(line[-1], 1.0)
        assert float(line.split()[-1].rstrip("kM")) * unit == pytest.approx(trial.worker.sent_bytes_per_step, rel=0.01)
    assert sum("its num_sets is 1" in line for line in text) == len(plan.refused)


def test_time_left_is_work_over_slots_but_never_less_than_the_longest_trial(
    study: Study, small_dataset: Dataset
) -> None:
    plan = _plan(study, small_dataset)
    seconds = [trial.seconds for trial in plan.trials]
    assert plan.seconds_left == pytest.approx(max(sum(seconds) / 2, max(seconds)))


def test_time_grows_with_work_and_shrinks_with_the_machine(study: Study, small_dataset: Dataset) -> None:
    spec, cost = study.trials[-1]
    base = estimate_seconds(spec.train, cost, 100_000, MACHINE)
    assert estimate_seconds(spec.train, cost, 200_000, MACHINE) == pytest.approx(2 * base, rel=0.01)
    assert estimate_seconds(spec.train, replace(cost, flops_per_sample=10**7), 100_000, MACHINE) > base
    assert estimate_seconds(spec.train, cost, 100_000, replace(MACHINE, bytes_per_second=1e12)) < base


def test_text_has_a_line_per_trial_the_refusals_and_the_total(study: Study, small_dataset: Dataset) -> None:
    plan = _plan(study, small_dataset, replace(MACHINE, memory_bytes=700_000))
    text = plan_text(plan, {trial.spec.trial_id: "1 CPU" for trial in plan.trials})
    assert all(trial.spec.trial_id in text for trial in plan.trials)
    assert text.count("refused: ") == len(plan.refused) > 0
    assert f"{len(plan.trials)} trials, 0 finished, {len(plan.refused)} points refused; 2 at a time" in text


@pytest.mark.parametrize(
    ("precision", "bf16_rate", "slow"), [("bf16", 2e9, True), ("bf16", 6e10, False), ("fp32", 2e9, False)]
)
def test_trials_in_bfloat16_are_warned_of_a_machine_without_units_for_it(
    study: Study,
    small_dataset: Dataset,
    finish: Callable[[TrialStore, TrialSpec], TrialResult],
    precision: str,
    bf16_rate: float,
    slow: bool,
) -> None:
    trials = [replace(s, train=replace(s.train, precision=Precision(precision))) for s in study.spec.trials]
    machine = replace(MACHINE, bf16_flops_per_second=bf16_rate)

    def planned() -> str:
        plan = make_plan(trials, (), small_dataset.manifest, study.store, machine, slots=2)
        return plan_text(plan, {})

    warning = "slow: matrix products in bf16 take 50 times as long as in fp32 on this machine; choose fp32"
    assert (warning in planned()) == slow
    for spec in trials:
        finish(study.store, spec)
    assert "slow: " not in planned()


def test_measures_a_machine_that_computes() -> None:
    machine = measure_machine(threads=1, memory_bytes=1)
    assert 1e8 < machine.flops_per_second < 1e13
    assert 1e8 < machine.bytes_per_second < 1e13


def test_a_cpu_without_units_for_bfloat16_is_measured_by_products_that_it_can_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def fastest_at(rate: float) -> Callable[[Callable[[], torch.Tensor]], float]:
        def fastest(action: Callable[[], torch.Tensor]) -> float:
            size = len(action())
            asked.append(size)
            return 2 * size**3 / (rate * size)

        return fastest

    monkeypatch.setattr(rates, "_fastest", fastest_at(1e7))
    assert rates._product_rate(torch.bfloat16) == pytest.approx(256e7)
    assert asked == [128, 256], "of 3 and 13 ms, and 512 would take longer"
    asked.clear()
    monkeypatch.setattr(rates, "_fastest", fastest_at(1e9))
    assert rates._product_rate(torch.float32) == pytest.approx(1024e9)
    assert asked == [128, 256, 512, 1024]
