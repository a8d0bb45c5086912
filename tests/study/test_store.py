"""The trial store: result.json present means finished; anything broken is said, never read as whole."""

from collections.abc import Callable
from pathlib import Path

import pytest

from recscale.errors import DataError
from recscale.records import TrialResult, TrialSpec
from recscale.study.store import TrialStatus, TrialStore
from recscale.study.study import Study

Finish = Callable[[TrialStore, TrialSpec], TrialResult]


def test_status_follows_the_files(study: Study, finish: Finish) -> None:
    store, spec = study.store, study.spec.trials[0]
    assert store.status(spec.trial_id) is TrialStatus.MISSING
    store.write_error(spec.trial_id, "Traceback\nboom")
    assert store.status(spec.trial_id) is TrialStatus.FAILED
    result = finish(store, spec)
    assert store.status(spec.trial_id) is TrialStatus.FINISHED
    assert store.read_error(spec.trial_id) is None
    assert store.read_result(spec.trial_id) == result
    assert store.read_spec(spec.trial_id) == spec


def test_a_result_is_written_last(study: Study, finish: Finish, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    from recscale.study import store as module

    real = module.write_atomic
    monkeypatch.setattr(module, "write_atomic", lambda path, content: (order.append(path.name), real(path, content)))
    finish(study.store, study.spec.trials[0])
    assert order == ["spec.json", "predictions.arrow", "train_predictions.arrow", "spectra.arrow", "result.json"]


def test_leaves_no_temporary_file_and_no_checkpoint(study: Study, finish: Finish) -> None:
    spec = study.spec.trials[0]
    study.store.checkpoint_folder(spec.trial_id).mkdir(parents=True)
    finish(study.store, spec)
    names = {path.name for path in study.store.folder(spec.trial_id).iterdir()}
    assert names == {"spec.json", "predictions.arrow", "train_predictions.arrow", "spectra.arrow", "result.json"}


def test_sub_embeddings_are_written_before_the_result_and_only_where_there_are_some(
    study: Study, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    from recscale.study import store as module

    real = module.write_atomic
    monkeypatch.setattr(module, "write_atomic", lambda path, content: (order.append(path.name), real(path, content)))
    crossing = next(spec for spec in study.spec.trials if spec.model.family == "dcnv2")
    finish(study.store, crossing)
    assert order.index("sub_embeddings.arrow") < order.index("result.json")
    shown = study.store.read_sub_embeddings(crossing.trial_id)
    assert shown is not None
    assert shown.num_rows == crossing.model.num_sets * 12 * 12
    finish(study.store, study.spec.trials[0])
    assert study.store.read_sub_embeddings(study.spec.trials[0].trial_id) is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"trial_id": 3}', b"\xff\xfe"])
def test_a_broken_result_is_a_data_error(content: bytes, study: Study) -> None:
    folder = study.store.folder("abc")
    folder.mkdir(parents=True)
    (folder / "result.json").write_bytes(content)
    with pytest.raises(DataError, match=r"result\.json"):
        study.store.read_result("abc")


def test_a_truncated_arrow_file_is_a_data_error(study: Study, finish: Finish) -> None:
    spec = study.spec.trials[0]
    finish(study.store, spec)
    path = study.store.folder(spec.trial_id) / "predictions.arrow"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"predictions.arrow is no readable Arrow file"):
        study.store.read_predictions(spec.trial_id)


def test_a_spec_in_the_wrong_folder_is_a_data_error(study: Study) -> None:
    first, second = study.spec.trials[:2]
    study.store.write_spec(first)
    target = study.store.folder(second.trial_id)
    target.mkdir(parents=True)
    (study.store.folder(first.trial_id) / "spec.json").rename(target / "spec.json")
    with pytest.raises(DataError, match=f"is the spec of trial {first.trial_id}"):
        study.store.read_spec(second.trial_id)


def test_a_storage_that_cannot_be_written_is_a_data_error(tmp_path: Path, study: Study) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot write .*choose another --storage"):
        TrialStore(tmp_path / "file").write_spec(study.spec.trials[0])
