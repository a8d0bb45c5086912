"""The grid: what it multiplies out to, what it refuses, and the identity of its trials."""

from dataclasses import replace

import pytest

from recscale.errors import ConfigError
from recscale.records import TrialSpec, canonical_json, from_json, to_plain
from recscale.study.grid import Axis, Grid, resolve


def _cells(grid: Grid) -> list[tuple[str, float, int, int]]:
    return [
        (spec.model.family, spec.model.scale, spec.model.num_sets, spec.seed) for spec in resolve(grid, "data").trials
    ]


def test_base_point_is_shared_by_both_arms(grid: Grid) -> None:
    cells = _cells(grid)
    assert len(cells) == len(set(cells)) == 2 * 5 * 2
    assert ("dnn", 4.0, 4, 1) in cells
    assert ("dnn", 1.0, 1, 0) in cells


def test_a_whole_scale_is_one_trial_however_it_is_written(grid: Grid) -> None:
    whole = resolve(replace(grid, scales=(1, 2, 4)), "data").trials
    assert [spec.trial_id for spec in whole] == [spec.trial_id for spec in resolve(grid, "data").trials]
    assert [from_json(TrialSpec, canonical_json(to_plain(spec)), "a spec").trial_id for spec in whole] == [
        spec.trial_id for spec in whole
    ]


def test_points_that_do_not_divide_are_refused_by_name(grid: Grid) -> None:
    resolved = resolve(replace(grid, sets=("1", "3"), scales=(1.0, 3.0)), "data")
    assert [refusal.point for refusal in resolved.refused] == ["dnn scale=1 sets=3", "dcnv2 scale=1 sets=3"]
    assert "4 * 1 = 4 does not divide into 3 sets" in resolved.refused[0].reason
    assert {(spec.model.scale, spec.model.num_sets) for spec in resolved.trials} == {(1.0, 1), (3.0, 1), (3.0, 3)}


def test_further_axes_multiply(grid: Grid) -> None:
    axes = (Axis("learning_rate", ("1e-3", "1e-4")), Axis("hidden_sizes", ("8+8", "16")))
    trials = resolve(replace(grid, axes=axes), "data").trials
    assert len(trials) == 4 * 20
    assert {spec.model.hidden_sizes for spec in trials} == {(8, 8), (16,)}
    assert {spec.train.learning_rate for spec in trials} == {1e-3, 1e-4}


def test_base_dim_is_the_familys_own_where_it_is_not_given(grid: Grid) -> None:
    trials = resolve(replace(grid, families=("nfwfm", "dnn"), base_dim=None), "data").trials
    assert {(spec.model.family, spec.model.base_dim) for spec in trials} == {("nfwfm", 50), ("dnn", 10)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"families": ("nope",)}, "unknown family 'nope'"),
        ({"sets": ("two",)}, "sets is 'two', expected a positive integer or `scale`"),
        ({"sets": ("0",)}, "sets is '0'"),
        ({"scales": (1.5,), "sets": ("scale",)}, "needs whole scales"),
        ({"scales": (0.0,)}, "scale 0 is not positive"),
        ({"seeds": 0}, "seeds is 0"),
        ({"families": ()}, "the grid has no families"),
        ({"axes": (Axis("colour", ("red",)),)}, "no axis 'colour'; expected one of"),
        ({"axes": (Axis("scale", ("2",)),)}, "no axis 'scale'"),
        ({"axes": (Axis("learning_rate", ("fast",)),)}, "axis learning_rate: 'fast' is not a valid value"),
    ],
)
def test_refuses(changes: dict[str, object], message: str, grid: Grid) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        resolve(replace(grid, **changes), "data")


def test_identity_depends_on_everything_and_on_nothing_else(grid: Grid) -> None:
    first, *others = resolve(grid, "data").trials
    assert first.trial_id == resolve(grid, "data").trials[0].trial_id
    changed: list[TrialSpec] = [
        replace(first, seed=7),
        replace(first, dataset_fingerprint="other"),
        replace(first, model=replace(first.model, dropout=0.1)),
        replace(first, train=replace(first.train, weight_decay=0.0)),
        *others,
    ]
    assert len({first.trial_id, *(spec.trial_id for spec in changed)}) == len(changed) + 1
    assert len(first.trial_id) == 12
