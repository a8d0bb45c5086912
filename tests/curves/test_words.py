"""A difference in words: no more than its interval, and as many digits as the difference needs."""

import pytest

from recscale.curves.differences import difference
from recscale.curves.words import change_words, signed_number


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
