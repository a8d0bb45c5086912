"""The sentences say what the tables hold, also where it is the opposite of the paper's."""

from dataclasses import replace

import numpy as np
import pytest

from dashboards.collapse_results import CollapseResults
from dashboards.collapse_words import (
    blocks_words,
    families_words,
    regularizer_words,
    spectra_words,
    toy_words,
    trained_words,
)


def changed(results: CollapseResults, part: str, change) -> CollapseResults:
    """The results with every row of one table changed."""
    return replace(results, **{part: tuple(change(row) for row in getattr(results, part))})


def with_trials(results: CollapseResults, change) -> CollapseResults:
    study = replace(results.study, trials=tuple(change(trial) for trial in results.study.trials))
    return replace(results, study=study)


def test_spectra(collapse):
    """Values are exp(-4k/20), of which fields of 3, 12 and 60 or more ids have 3, 12 and 20: medians at 1, 5.5, 9.5."""
    medians = [np.exp(-0.2), *[np.mean(np.exp([-0.2 * k, -0.2 * (k + 1)])) for k in (5, 9, 9, 9)]]
    start = np.mean(np.exp([-0.09, -0.1]))
    assert f"dcnv2 {np.median(medians):.0%} (before training {start:.0%}, scale 2×)" in spectra_words(collapse)


def test_trained_against_random(collapse):
    assert "dcnv2 falls from 0.801 to 0.501 at scale 2× (lower in 5 of 5 fields)" in trained_words(collapse)
    risen = changed(collapse, "looks", lambda look: replace(look, ia_ratio_mean=1 - look.ia_ratio_mean))
    assert "dcnv2 rises from 0.199 to 0.499" in trained_words(risen)


def test_what_fields_show_to_each_other(collapse):
    words = blocks_words(collapse)
    assert "dcnv2 at scale 2× rises (+1.00) along i and shows no clear order (+0.00) along j (5 fields)" in words
    assert "dnn" not in words
    turned = changed(
        collapse,
        "sub_embeddings",
        lambda row: replace(row, table_information_abundance=-row.table_information_abundance),
    )
    assert "falls (-1.00) along i" in blocks_words(turned)
    assert "No single-embedding trial has sub-embeddings" in blocks_words(replace(collapse, sub_embeddings=()))


def test_toy(collapse):
    words = toy_words(collapse.toy)
    assert "With K = 10, IA(E₁) over 200 steps falls from 8.01 to 6.01 where field 3 has 3 ids" in words
    assert "goes from 8.01 to 8.01, within seed noise where field 3 has 100 ids (2 seeds)" in words
    assert "With K = 5," in words


def test_regularizer(collapse):
    words = regularizer_words(collapse)
    assert words.startswith("With the regulariser against without: dcnv2 + orthogonality at scale 2×:")
    assert "2×: IA of what fields show over its bound is 0.170 against 0.120 (first seed), IA/K of tables is" in words
    assert "IA/K of tables is higher, 0.601 against 0.501" in words
    assert "test AUC is 0.7402 against 0.7402, within seed noise (2 seeds each)" in words
    unseen = regularizer_words(replace(collapse, sub_embeddings=None))
    assert unseen.startswith("With the regulariser against without: dcnv2 + orthogonality at scale 2×, IA/K of tables")
    plain = with_trials(collapse, lambda trial: replace(trial, family=trial.family.split(" ")[0]))
    assert "No family has single-embedding trials both with and without" in regularizer_words(plain)


def test_families(collapse):
    words = families_words(collapse)
    assert "dcnv2 from 1× to 2×: test AUC rises from 0.7202 to 0.7402, IA/K falls from 0.551 to 0.501" in words
    assert "dnn from 1× to 2×: test AUC falls from 0.6902 to 0.6802" in words
    assert "+ orthogonality" not in words


@pytest.mark.parametrize("words", [families_words, regularizer_words, trained_words])
def test_one_seed_is_never_called_a_rise_or_a_fall(words, collapse):
    study = replace(collapse.study, trials=tuple(trial for trial in collapse.study.trials if trial.seed == 0))
    sentence = words(replace(collapse, study=study))
    assert "with one seed" in sentence
    assert "rises" not in sentence
    assert "falls" not in sentence
