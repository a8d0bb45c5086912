import pytest

from recscale.curves.differences import Trend
from recscale.curves.verdict import Better, Verdict, judge
from recscale.errors import ConfigError
from recscale.records import canonical_json, from_json, to_plain

BASE, LARGE_SE, LARGE_ME = [0.8000, 0.8001, 0.8002], [0.7980, 0.7979, 0.7981], [0.8009, 0.8011, 0.8010]


@pytest.fixture
def falling_single(trials):
    return trials([1, 1, 1, 10, 10, 10], BASE + LARGE_SE)


def test_clear_effects_are_quoted(falling_single, trials):
    ia_ratio = trials([1, 1, 10, 10], [0.62, 0.63, 0.31, 0.32])
    verdict = judge(
        "dcnv2",
        metric="auc",
        better=Better.HIGHER,
        single=falling_single,
        multi=trials([10] * 3, LARGE_ME),
        ia_ratio=ia_ratio,
    )
    assert verdict.sentence == (
        "dcnv2: single-embedding AUC falls by 0.0021 [0.0019, 0.0023] from scale 1 to 10 (worse); multi-embedding is "
        "better by 0.0030 [0.0028, 0.0032] AUC at scale 10; IA/K of single-embedding falls from 0.62 to 0.32 "
        "(90% intervals over seeds)."
    )
    assert verdict.me_change is None
    assert from_json(Verdict, canonical_json(to_plain(verdict)), "verdict") == verdict


def test_a_lower_loss_is_better(trials):
    verdict = judge(
        "dnn",
        metric="log_loss",
        better=Better.LOWER,
        single=trials([1, 1, 1, 10, 10, 10], [0.45, 0.4501, 0.4502, 0.44, 0.4401, 0.4402]),
        multi=trials([10] * 3, [0.46, 0.4601, 0.4602]),
    )
    assert "log loss falls by 0.0100" in verdict.sentence
    assert "(better)" in verdict.sentence
    assert "multi-embedding is worse by 0.0200" in verdict.sentence


def test_noise_is_not_called_an_effect(trials):
    verdict = judge(
        "dnn",
        metric="auc",
        better=Better.HIGHER,
        single=trials([1, 1, 10, 10], [0.8, 0.801, 0.8004, 0.8011]),
        multi=trials([10, 10], [0.8003, 0.8015]),
    )
    assert verdict.se_change.trend is verdict.me_gain.trend is Trend.WITHIN_NOISE
    assert verdict.sentence.count("within seed noise with 2 and 2 seeds") == 2
    assert "better" not in verdict.sentence


def test_one_seed_gives_no_interval_and_no_claim(trials):
    verdict = judge(
        "dnn",
        metric="auc",
        better=Better.HIGHER,
        single=trials([1, 10], [0.8, 0.7]),
        multi=trials([10], [0.9]),
    )
    assert verdict.se_change.trend is Trend.ONE_SEED
    assert verdict.se_change.low is None
    assert "changes by -0.1000 from scale 1 to 10: 1 against 1 seeds give no interval, add seeds" in verdict.sentence
    assert "worse" not in verdict.sentence


def test_missing_arms_and_scales_are_said(trials):
    verdict = judge("dnn", metric="auc", better=Better.HIGHER, single=trials([1], [0.8]), multi=trials([2], [0.8]))
    assert (verdict.se_change, verdict.me_gain, verdict.ia_change) == (None, None, None)
    assert "cannot be compared across scales: fewer than two scales finished" in verdict.sentence
    assert "no scale has trials of both arms" in verdict.sentence


def test_arms_meet_at_the_largest_common_scale(trials):
    single, multi = trials([1, 1, 4, 4, 10, 10], [0.8, 0.81] * 3), trials([2, 2, 4, 4], [0.8, 0.81, 0.9, 0.91])
    verdict = judge("dnn", metric="auc", better=Better.HIGHER, single=single, multi=multi)
    assert (verdict.me_gain.first_scale, verdict.me_gain.second_scale) == (4, 4)
    assert verdict.me_gain.value == pytest.approx(0.1)
    assert verdict.me_change.value == pytest.approx(0.1)


def test_a_peak_between_the_ends_is_named(trials):
    single = trials([1, 1, 4, 4, 10, 10], [0.8, 0.801, 0.82, 0.821, 0.79, 0.791])
    assert "with its best mean at scale 4" in judge("dnn", metric="auc", better=Better.HIGHER, single=single).sentence


def test_a_wrong_level_is_refused(falling_single):
    with pytest.raises(ConfigError, match="level 95 is not between 0 and 1"):
        judge("dnn", metric="auc", better=Better.HIGHER, single=falling_single, level=95)
