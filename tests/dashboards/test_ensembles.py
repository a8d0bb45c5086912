"""The ensemble control in words and numbers."""

from dataclasses import replace

import pytest

from dashboards.ensembles import gap_text, mean_text, section
from dashboards.evidence import Evidence


def test_every_family_and_size_is_a_line_with_what_is_lacking(results):
    body, panels = section(results)
    assert panels == []
    assert body.count("<tr>") == 1 + 3 * 3
    assert body.count("run the study with --base-seeds 10") == 3
    assert body.count("<li>") == 3
    assert "<script>" not in body


@pytest.mark.parametrize(
    ("evidence", "said"),
    [(Evidence(), "ensembles.parquet has not been written"), (Evidence(ensembles=()), "base models")],
)
def test_without_ensembles_it_says_so(results, evidence, said):
    assert said in section(replace(results, evidence=evidence))[0]


def test_numbers_come_with_what_is_known_of_their_spread():
    assert mean_text(0.7, 0.001) == "0.70000 ± 0.001"
    assert (mean_text(0.7, None), mean_text(None, None)) == ("0.70000", "–")
    assert gap_text(-0.001, -0.002, 0.001) == "-0.0010 [-0.0020, +0.0010]"
    assert (gap_text(0.001, None, None), gap_text(None, None, None)) == ("+0.0010", "–")
