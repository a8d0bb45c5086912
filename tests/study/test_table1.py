"""Ours beside theirs: the right cells, the right arithmetic, readable as text and as CSV."""

import csv
import io
import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from recscale.curves.published import PublishedDataset
from recscale.errors import ConfigError
from recscale.records import TrialResult, TrialSpec
from recscale.study.curves import Finished
from recscale.study.store import TrialStore
from recscale.study.study import Study
from recscale.study.table1 import check_cells, published_dataset, table1_csv, table1_of, table1_text

Finish = Callable[[TrialStore, TrialSpec], TrialResult]


@pytest.fixture
def finished(study: Study, finish: Finish) -> list[Finished]:
    """Every trial but those of dcnv2 with four sets; AUC differs by 0.001 between the two seeds."""
    chosen = [spec for spec in study.spec.trials if (spec.model.family, spec.model.num_sets) != ("dcnv2", 4)]
    return [(spec, finish(study.store, spec)) for spec in chosen]


def test_cells_are_those_of_the_grid_in_the_papers_order(study: Study, finished: list[Finished]) -> None:
    cells = table1_of(study.spec.trials, finished, PublishedDataset.CRITEO)
    arms = [("SE", 1), ("SE", 2), ("SE", 4), ("ME", 2), ("ME", 4)]
    assert [(cell.family, cell.arm, cell.scale) for cell in cells] == [
        (family, arm, scale) for family in ("dnn", "dcnv2") for arm, scale in arms
    ]
    assert [cell.trials for cell in cells] == [2] * 9 + [0]


def test_the_difference_is_in_standard_errors_of_both_means(study: Study, finished: list[Finished]) -> None:
    base = table1_of(study.spec.trials, finished, PublishedDataset.CRITEO)[0]
    spread = 0.001 / math.sqrt(2)
    assert base.ours == pytest.approx(0.7005)
    assert base.our_std == pytest.approx(spread)
    assert (base.theirs, base.their_std) == (0.81228, 0.00004)
    assert base.difference == pytest.approx(0.7005 - 0.81228)
    error = math.sqrt(spread**2 / 2 + 0.00004**2 / 3)
    assert base.standard_errors == pytest.approx((0.7005 - 0.81228) / error)


def test_unknown_spreads_and_missing_numbers_are_left_open(study: Study, finished: list[Finished]) -> None:
    one = [trial for trial in finished if trial[0].seed == 0]
    assert table1_of(study.spec.trials, one, PublishedDataset.CRITEO)[0].standard_errors is None
    nothing = table1_of(study.spec.trials, finished, PublishedDataset.CRITEO)[-1]
    assert (nothing.ours, nothing.difference, nothing.theirs) == (None, None, 0.81382)
    model = replace(study.spec.trials[0].model, family="nfwfm", scale=10.0)
    largest = (replace(study.spec.trials[0], model=model), finished[0][1])
    unpublished = table1_of([largest[0]], [largest], PublishedDataset.AVAZU)[0]
    assert unpublished.ours is not None
    assert (unpublished.theirs, unpublished.difference, unpublished.standard_errors) == (None, None, None)


def test_text_and_csv_say_the_same(study: Study, finished: list[Finished]) -> None:
    cells = table1_of(study.spec.trials, finished, PublishedDataset.CRITEO)
    rows = list(csv.DictReader(io.StringIO(table1_csv(cells).decode())))
    lines = table1_text(cells, PublishedDataset.CRITEO, "mine").splitlines()
    assert len(rows) == len(cells) == len(lines) - 3
    assert float(rows[0]["ours"]) == cells[0].ours
    assert rows[-1]["ours"] == ""
    assert lines[0] == "test AUC on mine beside Table 1 on Criteo (Guo et al. 2024, v1, 3 runs)"
    assert " ".join(lines[2].split()) == "dnn SE 1x 2 0.70050 ± 0.00071 0.81228 ± 0.00004 -0.11178 -223.3*"
    assert " ".join(lines[-2].split()) == "dcnv2 ME 4x 0 - 0.81382 ± 0.00015 - -"


def test_the_published_table_is_the_datasets_own_or_the_one_asked_for() -> None:
    assert published_dataset("avazu", "mine", None) is PublishedDataset.AVAZU
    assert published_dataset("table", "mine", PublishedDataset.CRITEO) is PublishedDataset.CRITEO
    with pytest.raises(ConfigError, match=r"'mine' was prepared as 'table'.*--against"):
        published_dataset("table", "mine", None)


def test_what_table_1_does_not_have_is_refused() -> None:
    check_cells(("dnn",), (1, 10))
    with pytest.raises(ConfigError, match="no family 'fm'"):
        check_cells(("dnn", "fm"), (1,))
    with pytest.raises(ConfigError, match="no scale 5"):
        check_cells(("dnn",), (1, 5))
