"""Every variant's difference to ME and SE, against numpy and scipy on the raw trials."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from dashboards.ablation_tables import comparisons, variant_name, verdict_words
from dashboards.results import Trial
from recscale.curves.differences import Trend

NAMES = (
    "SE",
    "ME",
    "one interaction",
    "one set of tables",
    "mean of logits",
    "concatenation",
    "patterns aligned",
    "subspaces apart",
    "SE + spectrum flattened",
)


def _values(results, family, scale, name):
    chosen = [t for t in results.finished if (t.family, t.scale, variant_name(t)) == (family, scale, name)]
    return [trial.test_auc for trial in chosen]


def _row(results, name, scale=4.0):
    found = next(each for each in comparisons(results) if (each.model.family, each.scale) == ("dcnv2", scale))
    return next(row for row in found.rows if row.name == name)


def test_a_comparison_per_family_and_scale_largest_first_with_the_baselines_on_top(ablation_results):
    found = comparisons(ablation_results)
    assert [each.scale for each in found] == [4.0, 2.0, 4.0, 2.0]
    assert all(tuple(row.name for row in each.rows) == NAMES for each in found[:2])
    assert all("patterns aligned" not in {row.name for row in each.rows} for each in found[2:])


@pytest.mark.parametrize("name", NAMES)
def test_differences_are_those_of_the_seeds_with_welchs_interval(ablation_results, name):
    row, own = _row(ablation_results, name), _values(ablation_results, "dcnv2", 4.0, name)
    assert row.auc == pytest.approx(np.mean(own))
    assert row.std == pytest.approx(np.std(own, ddof=1))
    for change, reference in ((row.to_multi, "ME"), (row.to_single, "SE")):
        if name == reference:
            assert change is None
            continue
        base = _values(ablation_results, "dcnv2", 4.0, reference)
        interval = stats.ttest_ind(own, base, equal_var=False).confidence_interval(0.9)
        assert change.value == pytest.approx(np.mean(own) - np.mean(base))
        assert (change.low, change.high) == pytest.approx((interval.low, interval.high))


def test_a_large_effect_is_clear_and_none_is_within_noise(ablation_results):
    assert _row(ablation_results, "one interaction").to_multi.trend is Trend.FALLS
    assert _row(ablation_results, "mean of logits").to_multi.trend is Trend.RISES
    assert "worse than ME by 0.0015 [" in verdict_words(_row(ablation_results, "one interaction"))
    assert verdict_words(_row(ablation_results, "mean of logits")).endswith("; better than SE")
    assert verdict_words(_row(ablation_results, "ME")).startswith("better than SE by 0.0")
    assert verdict_words(_row(ablation_results, "SE + spectrum flattened")).startswith("better than SE by 0.0")


def test_a_sentence_claims_no_more_than_the_seeds_show(ablation_results):
    same = replace(ablation_results, trials=tuple(replace(t, test_auc=0.7 + t.seed) for t in ablation_results.finished))
    words = verdict_words(_row(same, "concatenation"))
    assert words.endswith("against ME: within seed noise with 3 and 3 seeds; not told apart from SE")
    assert "better" not in words
    assert "worse" not in words
    one = replace(ablation_results, trials=tuple(t for t in ablation_results.finished if t.seed == 0))
    assert "1 against 1 seeds give no interval, add seeds" in verdict_words(_row(one, "concatenation"))


def test_collapse_and_diversity_are_means_over_seeds(ablation_results):
    row = _row(ablation_results, "concatenation")
    assert (row.ia_ratio, row.ia_concat_ratio, row.set_diversity) == pytest.approx((0.6, 0.3, 0.4))
    assert _row(ablation_results, "one set of tables").set_diversity is None


def test_an_absent_column_is_what_all_trials_have(ablation_results):
    plain = Trial("a", "finished", "dcnv2", "fair", "ME", 4.0, 4, 0)
    assert variant_name(plain) == "ME"
    assert variant_name(replace(plain, further=(("penalty", "pattern_alignment"),))) == "patterns aligned"
    only_sharing = tuple(
        replace(trial, further=tuple(pair for pair in trial.further if pair[0] == "sharing"))
        for trial in ablation_results.finished
        if dict(trial.further)["penalty"] == "none" and dict(trial.further)["combination"] == "mean_features"
    )
    found = comparisons(replace(ablation_results, trials=only_sharing))
    assert [row.name for row in found[0].rows] == ["SE", "ME", "one interaction", "one set of tables"]


def test_what_is_changed_together_and_by_what_weight_is_told():
    changed = (("sharing", "shared_tables"), ("penalty", "subspace_similarity"), ("penalty_weight", "0.001"))
    trial = Trial("a", "finished", "dcnv2", "fair", "ME", 4.0, 4, 0, further=changed)
    assert variant_name(trial) == "one set of tables + subspaces apart ×0.001"
    assert variant_name(replace(trial, further=(("penalty_weight", "0.001"),))) == "ME"


def test_other_settings_are_never_mixed(ablation_results):
    def with_rate(trial):
        return replace(trial, further=(*trial.further, ("learning_rate", "0.1" if trial.seed else "0.2")))

    found = comparisons(replace(ablation_results, trials=tuple(map(with_rate, ablation_results.trials))))
    assert len(found) == 8
    assert {each.settings for each in found} == {(("learning_rate", "0.1"),), (("learning_rate", "0.2"),)}
    assert {len(row.trial_ids) for each in found for row in each.rows} == {1, 2}


def test_me_of_as_many_sets_is_compared_with_else_of_the_most(ablation_results):
    at_four = [t for t in ablation_results.finished if (t.family, t.scale) == ("dcnv2", 4.0)]
    two_sets = [
        replace(t, num_sets=2, test_auc=t.test_auc + 1) for t in at_four if variant_name(t) in ("ME", "concatenation")
    ]
    found = comparisons(replace(ablation_results, trials=(*at_four, *two_sets)))
    rows = {(row.name, row.num_sets): row for row in found[0].rows}
    assert rows["ME", 2].to_multi is None
    assert rows["concatenation", 2].to_multi.value == pytest.approx(rows["concatenation", 4].to_multi.value)
    assert rows["SE", 1].to_multi.first == pytest.approx(rows["ME", 4].auc)


def test_without_multi_embedding_nothing_is_compared_with_it(ablation_results):
    single = tuple(trial for trial in ablation_results.finished if trial.arm == "SE")
    found = comparisons(replace(ablation_results, trials=single))
    assert {row.to_multi for each in found for row in each.rows} == {None}
    assert verdict_words(found[0].rows[0]) == "nothing to compare with at this scale"
