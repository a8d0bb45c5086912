"""The sentence of a family and arm says what its numbers say, and no more."""

import pytest

from recscale.curves.association import Association, Coefficient
from recscale.curves.prediction import Measure, MeasureAssociation, prediction_sentence


def measured(spearman, note="", with_scale=None, measure=Measure.IA_RATIO):
    found = Association(12, 4, spearman, spearman, 0.9, note)
    return MeasureAssociation(measure, found, with_scale)


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        (
            measured(Coefficient(-0.8, -1.0, -0.3)),
            "dnn, SE: trials of higher IA/K have lower test AUC (Spearman -0.80 [-1.00, -0.30], 12 trials in 4 cells).",
        ),
        (
            measured(Coefficient(0.1, -0.3, 0.4)),
            (
                "dnn, SE: IA/K shows no association with test AUC beyond chance "
                "(Spearman +0.10 [-0.30, +0.40], 12 trials in 4 cells)."
            ),
        ),
        (measured(None, "add scales"), "dnn, SE: nothing can be said of IA/K: add scales."),
    ],
)
def test_the_sentence_follows_the_interval(item, sentence):
    assert prediction_sentence("dnn", "SE", [item]) == sentence


def test_wide_intervals_and_missing_ones_are_no_evidence_of_absence():
    wide = prediction_sentence("dnn", "SE", [measured(Coefficient(0.1, -0.9, 0.9))])
    assert "too wide to exclude one" in wide
    none = prediction_sentence("dnn", "SE", [measured(Coefficient(0.9, None, None), "add seeds")])
    assert "cannot be judged (Spearman +0.90; add seeds)" in none


def test_other_measures_are_named_only_where_clear_and_scale_is_a_caution():
    others = [
        measured(Coefficient(0.7, 0.2, 0.9), measure=Measure.EFFECTIVE_RANK),
        measured(Coefficient(0.7, -0.2, 0.9), measure=Measure.SET_DIVERSITY),
    ]
    sentence = prediction_sentence("dnn", "ME", [measured(Coefficient(0.1, -0.3, 0.4), with_scale=-0.95), *others])
    assert "these do: effective rank +0.70 [+0.20, +0.90]" in sentence
    assert "set diversity" not in sentence
    assert "IA/K itself falls with scale (-0.95)" in sentence
