"""The ledger: what has been tried is known again, what was cut off goes on, and the winner is the best finished one."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recscale.storage.location import location
from recscale.study.grid import Grid, resolve
from recscale.study.ledger import SAMPLES_SCHEMA, Ending, Ledger, Sample, tuned_settings, write_samples
from recscale.study.search import SearchCell, SearchOptions
from recscale.study.search_text import winners_text
from recscale.study.tuned import SearchPoint, read_tuned, untuned_point, write_tuned

POINTS = [SearchPoint(1e-3 * (2 + place), 1e-6, 0.2) for place in range(6)]


@pytest.fixture
def ledger(grid: Grid, tmp_path: Path) -> Ledger:
    """A search of six samples of which nothing has run."""
    return Ledger(tmp_path, SearchCell(resolve(grid, "data").trials[0], SearchOptions(samples=6)))


def _end(ledger: Ledger, point: SearchPoint, ending: Ending, auc: float | None, error: str | None = None) -> Sample:
    sample = replace(ledger.start(point), ending=ending, valid_auc=auc, epochs=2.0, seconds=3.0, error=error)
    ledger.write(sample)
    return sample


def _larger(ledger: Ledger, samples: int) -> Ledger:
    cell = ledger.cell
    return Ledger(ledger.folder.parent.parent, replace(cell, options=replace(cell.options, samples=samples)))


def test_a_ledger_in_a_store_says_what_one_on_a_disk_says(ledger: Ledger, bucket: str) -> None:
    remote = Ledger(location(f"{bucket}/runs/tune"), ledger.cell)
    endings = (Ending.FINISHED, Ending.STOPPED, Ending.DIVERGED, Ending.FAILED)
    for each in (ledger, remote):
        for place, ending in enumerate(endings):
            _end(each, POINTS[place], ending, None if ending is Ending.DIVERGED else 0.7 + place / 100)
    assert remote.samples() == ledger.samples()
    assert remote.pending() == ledger.pending()
    assert remote.missing() == ledger.missing() == (3, 4, 5)
    assert tuned_settings([remote]) == tuned_settings([ledger])
    written = [write_samples(each.folder.parent.parent, [each]) for each in (ledger, remote)]
    assert written[0].read_bytes() == written[1].read_bytes()
    tuned = write_tuned(location(f"{bucket}/runs/tune"), tuned_settings([remote]))
    assert read_tuned(tuned, remote.cell.spec.dataset_fingerprint) == tuned_settings([ledger])


def test_a_new_search_starts_with_the_untuned_settings(ledger: Ledger) -> None:
    assert ledger.pending() == (untuned_point(ledger.cell.spec),)
    assert ledger.missing() == (0, 1, 2, 3, 4, 5)
    assert ledger.winner() is None
    fixed = replace(ledger.cell, options=SearchOptions(weight_decay_range=(0.0, 0.0)))
    assert Ledger(ledger.folder, fixed).pending()[0].weight_decay == 0.0


def test_only_what_has_no_outcome_is_run_again_and_from_its_checkpoint(ledger: Ledger) -> None:
    endings = [Ending.FINISHED, Ending.STOPPED, Ending.DIVERGED, Ending.FAILED, Ending.RUNNING]
    folders = [ledger.folder / point.applied_to(ledger.cell.spec).trial_id for point in POINTS]
    for point, folder, ending in zip(POINTS, folders, endings, strict=False):
        folder.mkdir(parents=True)
        _end(ledger, point, ending, None if ending is Ending.DIVERGED else 0.7, "boom" if ending == "failed" else None)
    assert ledger.pending() == (POINTS[3], POINTS[4])
    assert ledger.missing() == (3, 4, 5)
    assert [sample.ending for sample in ledger.samples()] == endings
    assert [folder.exists() for folder in folders[:5]] == [False, False, False, True, True]
    again = ledger.start(POINTS[3])
    assert (again.number, len(ledger.samples())) == (3, 5)
    assert ledger.samples()[3].ending is Ending.RUNNING
    assert ledger.start(POINTS[5]).number == 5


def test_the_winner_is_the_best_finished_one_and_the_earliest_of_equals(ledger: Ledger) -> None:
    outcomes = [(Ending.FINISHED, 0.70), (Ending.STOPPED, 0.74), (Ending.FINISHED, 0.72), (Ending.FINISHED, 0.72)]
    samples = [_end(ledger, point, *outcome) for point, outcome in zip(POINTS, outcomes, strict=False)]
    _end(ledger, POINTS[4], Ending.DIVERGED, None, "loss is nan")
    assert ledger.winner() == samples[2]
    cell = tuned_settings([ledger]).cells[0]
    assert (cell.point, cell.valid_auc, cell.samples) == (POINTS[2], 0.72, 5)
    assert (cell.model, cell.train) == (ledger.cell.spec.model, ledger.cell.spec.train)
    assert "learning_rate 0.004" in winners_text([ledger])
    assert "valid AUC 0.72000, untuned 0.70000" in winners_text([ledger])


def test_a_cell_of_which_nothing_finished_has_no_winner_and_says_why(ledger: Ledger) -> None:
    _end(ledger, POINTS[0], Ending.FAILED, None, "Traceback\nMemoryError: too small")
    assert tuned_settings([ledger]).cells == ()
    assert "none of 1 samples finished: MemoryError: too small" in winners_text([ledger])


def test_a_larger_budget_adds_and_a_smaller_one_forgets_what_is_beyond(ledger: Ledger) -> None:
    for place, point in enumerate(POINTS):
        _end(ledger, point, Ending.FINISHED, 0.7 + 0.01 * place)
    assert _larger(ledger, 8).missing() == (6, 7)
    smaller = _larger(ledger, 2)
    assert smaller.missing() == ()
    assert smaller.winner() == ledger.samples()[1]


def test_every_sample_of_every_cell_is_a_row(ledger: Ledger, grid: Grid, tmp_path: Path) -> None:
    other = Ledger(tmp_path, SearchCell(resolve(grid, "data").trials[-1], ledger.cell.options))
    _end(ledger, POINTS[0], Ending.FINISHED, 0.7)
    _end(ledger, POINTS[1], Ending.DIVERGED, None, "loss is nan")
    _end(other, POINTS[2], Ending.FINISHED, 0.6)
    table = pq.read_table(write_samples(tmp_path, [ledger, other]))
    assert table.schema.equals(SAMPLES_SCHEMA)
    rows = table.to_pylist()
    assert [row["cell"] for row in rows] == [ledger.cell.cell_id] * 2 + [other.cell.cell_id]
    assert [(row["ending"], row["winner"]) for row in rows] == [
        ("finished", True),
        ("diverged", False),
        ("finished", True),
    ]
    assert [row["learning_rate"] for row in rows] == [point.learning_rate for point in POINTS[:3]]
    assert rows[1]["valid_auc"] is None
