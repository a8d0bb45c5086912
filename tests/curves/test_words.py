"""A difference in words: no more than its interval, and as many digits as the difference needs."""

import pytest

from recscale.curves.curve import Target
from recscale.curves.differences import difference
from recscale.curves.scaling import fit_curve
from recscale.curves.words import change_words, constant_words, is_constant, signed_number


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ([0.7, 0.7], [0.71, 0.71], "rises by 0.0100 [0.0100, 0.0100]"),
        ([0.7, 0.7], [0.69, 0.69], "falls by 0.0100 [0.0100, 0.0100]"),
        ([0.7], [0.71], "changes by +0.0100: 1 against 1 seeds give no interval, add seeds"),
    ],
)
def test_a_change_says_its_direction_only_where_the_interval_does(trials, first, second, words):
    assert change_words(difference(trials([1] * len(first), first), trials([2] * len(second), second))) == words


def test_a_change_within_noise_has_no_direction(trials):
    words = change_words(difference(trials([1] * 2, [0.70, 0.72]), trials([2] * 2, [0.71, 0.72])))
    assert words.startswith("changes by +0.0050 [-0.0")
    assert words.endswith("]: within seed noise with 2 and 2 seeds")


def test_small_numbers_keep_two_digits():
    assert signed_number(-0.000012, 0.000012) == "-0.000012"
    assert signed_number(0.25, 0.5) == "+0.2500"


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize(
    ("scales", "values", "words"),
    [
        ([1, 1, 2, 2, 4, 4], [0.7, 0.7001, 0.7050, 0.6990, 0.7005, 0.7035], "for no slope was worth its parameter"),
        (
            [1, 1, 2, 2, 4, 4],
            [0.7, 0.7001, 0.7050, 0.6990, 0.7020, 0.7021],
            (
                "for no slope was worth its parameter; yet its largest scale rises against its smallest by 0.0020 "
                "[0.0018, 0.0022] (90% interval over seeds), so that no change may be too certain: add scales or seeds"
            ),
        ),
        ([1, 2, 4, 8], [0.7, 0.701, 0.702, 0.703], "the only law that so few scales and trials allow"),
    ],
)
def test_a_law_without_a_slope_says_why_and_whether_its_ends_differ(trials, target, scales, values, words):
    names = {"family": "dnn", "variant": "fair", "arm": "SE", "metric": "test_auc"}
    curve = fit_curve(trials(scales, values), **names, target=target, replicates=100).curve
    assert is_constant(curve)
    assert constant_words(curve) == f"a constant, {words}"
