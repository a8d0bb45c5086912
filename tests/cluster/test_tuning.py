"""The search of one cell: what Optuna is told and proposes, what a cut-off sample goes on to, and every ending."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from recscale.cluster import tuning
from recscale.cluster.shares import ClusterInfo, Share
from recscale.cluster.tuning import Recorder, SampleJob, SampleRuns, search_cell, train_sample
from recscale.data.reader import Dataset
from recscale.records import ModelSpec, TrainSpec, TrialSpec
from recscale.study.ledger import Ending, Ledger
from recscale.study.progress import Progress
from recscale.study.search import SearchCell, SearchOptions
from recscale.study.tuned import SearchPoint, untuned_point

TRAIN = TrainSpec(batch_size=256, max_epochs=3, patience=3)
VALUES = {"learning_rate": 3e-3, "weight_decay": 1e-7, "dropout": 0.1}


def _spec(fingerprint: str) -> TrialSpec:
    return TrialSpec(fingerprint, ModelSpec("dnn", base_dim=4, hidden_sizes=(8, 8)), TRAIN, 1000)


def _ledger(folder: Path, options: SearchOptions, fingerprint: str = "data") -> Ledger:
    return Ledger(folder, SearchCell(_spec(fingerprint), options))


def _proposals(ledger: Ledger, count: int) -> list[dict[str, float]]:
    searcher = tuning._searcher(ledger)
    return [searcher.suggest(str(number)) for number in range(count)]


def _remember(ledger: Ledger, values: dict[str, float], ending: Ending, auc: float | None) -> None:
    sample = ledger.start(replace(ledger.first_point(), **values))
    ledger.write(replace(sample, ending=ending, valid_auc=auc))


def test_a_new_search_proposes_the_untuned_settings_then_seeded_points_in_range(tmp_path: Path) -> None:
    options = SearchOptions()
    proposals = _proposals(_ledger(tmp_path, options), 8)
    assert SearchPoint(**proposals[0]) == untuned_point(_spec("data"))
    assert proposals == _proposals(_ledger(tmp_path / "other", options), 8)
    assert proposals != _proposals(_ledger(tmp_path, replace(options, search_seed=1001)), 8)
    for name, (low, high) in options.ranges.items():
        assert all(low <= point[name] <= high for point in proposals)


def test_a_search_that_goes_on_proposes_what_was_cut_off_and_then_nothing_that_is_known(tmp_path: Path) -> None:
    ledger = _ledger(tmp_path, SearchOptions())
    first = _proposals(ledger, 4)
    for values, ending in zip(first, (Ending.FINISHED, Ending.STOPPED, Ending.RUNNING, Ending.DIVERGED), strict=True):
        _remember(ledger, values, ending, None if ending is Ending.DIVERGED else 0.7)
    later = _proposals(ledger, 6)
    assert later[0] == first[2]
    assert not [values for values in later[1:] if values in first]


def test_optuna_learns_from_what_the_ledger_knows(tmp_path: Path) -> None:
    """Told that small dropout is good over and over, it proposes less of it than of a fair draw."""
    ledger = _ledger(tmp_path, SearchOptions(samples=99))
    for place in range(30):
        dropout = 0.5 * place / 30
        _remember(ledger, {**VALUES, "dropout": dropout}, Ending.FINISHED, 0.8 - dropout)
    proposed = [values["dropout"] for values in _proposals(ledger, 20)]
    assert sum(proposed) / len(proposed) < 0.15


def test_a_setting_with_one_value_is_not_proposed_but_trained_with(tmp_path: Path) -> None:
    ledger = _ledger(tmp_path, SearchOptions(weight_decay_range=(0.0, 0.0)))
    assert {frozenset(values) for values in _proposals(ledger, 3)} == {frozenset(("learning_rate", "dropout"))}
    job = SampleJob(ledger.cell.spec, ledger.first_point(), "/data", str(tmp_path), Share())
    spec = job.spec_of({"learning_rate": 3e-3, "dropout": 0.1})
    assert untuned_point(spec) == SearchPoint(3e-3, 0.0, 0.1)


@dataclass(frozen=True)
class _Trial:
    """What the recorder reads of Tune's trial."""

    trial_id: str
    config: dict[str, float]
    error_file: Path
    last_result: dict[str, object] = field(default_factory=dict)


def test_samples_are_numbered_as_proposed_and_may_die_before_they_begin(tmp_path: Path) -> None:
    ledger = _ledger(tmp_path, SearchOptions(samples=3))
    error_file = tmp_path / "error.txt"
    error_file.write_text("Failure # 1\nthe process died\n")
    trials = [_Trial(name, {**VALUES, "dropout": 0.1 * place}, error_file) for place, name in enumerate("abc")]
    told = {"ending": "running", "valid_auc": 0.7, "epochs": 1.0, "time_total_s": 2.0, "error": None}
    trials[2].last_result.update(told)
    with Progress({ledger.sample_id(number): 1.0 for number in range(3)}, 0, 2, unit="sample") as progress:
        recorder = Recorder(ledger, progress)
        recorder.on_trial_start(0, trials, trials[2])
        recorder.on_trial_error(0, trials, trials[1])
        recorder.on_trial_complete(0, trials, trials[2])
    samples = ledger.samples()
    assert [sample.point.dropout for sample in samples] == [0.0, 0.1, 0.2]
    assert [sample.ending for sample in samples] == [Ending.RUNNING, Ending.FAILED, Ending.STOPPED]
    assert samples[1].error == "Failure # 1\nthe process died"
    assert ledger.missing() == (0, 1)


class _Cut(BaseException):
    """What Ray raises inside a report where it ends a sample, by another name."""


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Callable[[int], list[dict[str, object]]]:
    """Collects what samples report, outside a Tune worker; the process is cut off after `count` reports."""

    def collect(count: int) -> list[dict[str, object]]:
        told: list[dict[str, object]] = []

        def report(metrics: dict[str, object]) -> None:
            told.append(metrics)
            if len(told) == count:
                raise _Cut

        monkeypatch.setattr(tuning.tune, "report", report)
        return told

    return collect


def test_a_sample_that_was_cut_off_ends_as_if_it_had_not_been(
    small_dataset: Dataset, tmp_path: Path, reports: Callable[[int], list[dict[str, object]]]
) -> None:
    def job(name: str) -> SampleJob:
        spec = _spec(small_dataset.manifest.fingerprint)
        return SampleJob(spec, untuned_point(spec), str(small_dataset.path), str(tmp_path / name), Share())

    whole = reports(0)
    train_sample(VALUES, job("whole"))
    assert [told["ending"] for told in whole] == ["running", "running", "finished"]
    assert [told["evaluations"] for told in whole] == [1, 2, 3]
    cut = reports(2)
    with pytest.raises(_Cut):
        train_sample(VALUES, job("cut"))
    rest = reports(0)
    train_sample(VALUES, job("cut"))
    assert cut[:1] + rest == whole


def test_every_ending_is_kept_and_a_search_that_is_done_runs_nothing(
    embedded_cluster: ClusterInfo, small_dataset: Dataset, tmp_path: Path
) -> None:
    """Learning rates up to 1e25: what diverges is an outcome, what is worse than others is stopped early."""
    options = SearchOptions(
        samples=8, learning_rate_range=(1e-4, 1e25), weight_decay_range=(0.0, 0.0), reduction_factor=2.0
    )
    ledger = _ledger(tmp_path, options, small_dataset.manifest.fingerprint)
    runs = SampleRuns(str(small_dataset.path), Share(), slots=2, max_retries=0)
    planned = {ledger.sample_id(number): 1.0 for number in ledger.missing()}
    with Progress(planned, 0, 2, unit="sample") as progress:
        search_cell(ledger, runs, progress)
    samples = ledger.samples()
    assert [sample.number for sample in samples] == list(range(8))
    assert samples[0].point == ledger.first_point()
    endings = {sample.ending for sample in samples}
    assert {Ending.FINISHED, Ending.DIVERGED} <= endings <= {Ending.FINISHED, Ending.DIVERGED, Ending.STOPPED}
    for sample in samples:
        if sample.ending is Ending.DIVERGED:
            assert "loss" in (sample.error or "")
            assert sample.valid_auc is None
        else:
            assert 0.4 < (sample.valid_auc or 0.0) < 1.0
    winner = ledger.winner()
    assert winner is not None
    assert winner.valid_auc == max(sample.valid_auc or 0.0 for sample in samples)
    assert all(path.suffix == ".json" for path in ledger.folder.iterdir()), "checkpoints and Tune's own files are gone"

    kept = {path: path.stat().st_mtime_ns for path in ledger.folder.iterdir()}
    search_cell(ledger, runs, progress)
    assert {path: path.stat().st_mtime_ns for path in ledger.folder.iterdir()} == kept
