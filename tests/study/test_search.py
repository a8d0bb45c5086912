"""What can be searched, and the identity of a search."""

from dataclasses import replace

import pytest

from recscale.errors import ConfigError
from recscale.records import TrialSpec
from recscale.study.grid import Grid, resolve
from recscale.study.search import SearchCell, SearchOptions, check_search, near_edges
from recscale.study.tuned import SearchPoint


@pytest.fixture
def spec(grid: Grid) -> TrialSpec:
    """A cell of the grid."""
    return resolve(grid, "data").trials[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": 0}, "samples is 0, expected at least 1: the first is the untuned settings"),
        ({"search_seed": 1}, "search_seed is 1, expected at least 2: seeds 0 to 1 judge the winners"),
        ({"grace_evaluations": 0}, "grace_evaluations is 0"),
        ({"reduction_factor": 1.0}, "reduction_factor is 1, expected more than 1"),
        ({"learning_rate_range": (1e-2, 1e-4)}, "learning_rate_range is 0.01 0.0001, expected two numbers"),
        ({"dropout_range": (-0.1, 0.5)}, "dropout_range is -0.1 0.5"),
        ({"dropout_range": (0.0, 1.0)}, "dropout_range ends at 1, expected probabilities below 1"),
        ({"weight_decay_range": (0.0, 1e-4)}, "weight_decay_range starts at 0, which a logarithmic scale"),
        ({"learning_rate_range": (2e-3, 1e-2)}, "learning_rate is 0.001, outside learning_rate_range 0.002 0.01"),
        (
            dict.fromkeys(("learning_rate_range", "weight_decay_range", "dropout_range"), (0.001, 0.001)),
            "every range has equal ends",
        ),
    ],
)
def test_refuses(changes: dict[str, object], message: str, spec: TrialSpec) -> None:
    check_search(SearchOptions(), 2, [spec])
    with pytest.raises(ConfigError, match=message):
        check_search(replace(SearchOptions(), **changes), 2, [spec])


def test_a_setting_may_keep_one_value(spec: TrialSpec) -> None:
    check_search(SearchOptions(weight_decay_range=(0.0, 0.0)), 2, [spec])


def test_a_search_is_all_but_its_number_of_samples(spec: TrialSpec) -> None:
    base = SearchCell(spec, SearchOptions())
    assert SearchCell(spec, SearchOptions(samples=99)).cell_id == base.cell_id
    others = [
        SearchCell(replace(spec, dataset_fingerprint="other"), SearchOptions()),
        SearchCell(replace(spec, seed=7), SearchOptions()),
        SearchCell(replace(spec, model=replace(spec.model, scale=2.0)), SearchOptions()),
        SearchCell(replace(spec, train=replace(spec.train, max_epochs=9)), SearchOptions()),
        SearchCell(spec, SearchOptions(dropout_range=(0.0, 0.3))),
        SearchCell(spec, SearchOptions(grace_evaluations=2)),
        SearchCell(spec, SearchOptions(reduction_factor=2.0)),
        SearchCell(spec, SearchOptions(search_seed=1001)),
    ]
    assert len({base.cell_id, *(cell.cell_id for cell in others)}) == len(others) + 1


@pytest.mark.parametrize(
    ("point", "edges"),
    [
        (SearchPoint(1e-3, 1e-6, 0.2), ()),
        (SearchPoint(1.1e-4, 1e-6, 0.0), ("learning_rate",)),
        (SearchPoint(9e-3, 9e-5, 0.49), ("learning_rate", "weight_decay", "dropout")),
        (SearchPoint(3e-3, 1.2e-8, 0.3), ("weight_decay",)),
    ],
)
def test_values_near_an_end_of_their_range_are_named(point: SearchPoint, edges: tuple[str, ...]) -> None:
    assert near_edges(SearchOptions(), point) == edges
    assert "weight_decay" not in near_edges(SearchOptions(weight_decay_range=(0.0, 0.0)), replace(point, dropout=0.2))
