"""The rows behind the collapse page, against numpy on the raw tables."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from dashboards.collapse_results import labels, labels_of, load_collapse, plain_labels, regularized_pairs, unpenalized
from dashboards.evidence_tables import (
    BlockChoice,
    along_training,
    block_choices,
    heat_map,
    looks_at,
    order,
    over_scales,
    path,
    shown,
)
from dashboards.toy_tables import Push, dims, push_lines, toy_curves
from recscale.errors import DataError

WITH = "dcnv2 + orthogonality"


@pytest.fixture(scope="module")
def raw(collapse_folder):
    """A table's rows by the table's name."""
    return lambda name: pq.read_table(collapse_folder / f"{name}.parquet").to_pylist()


def test_labels_name_what_differs_within_a_family_and_no_setting_that_is_none(collapse):
    names = labels_of(collapse)
    assert names[:2] == ["dcnv2", "dnn"]
    assert names[3] == WITH
    assert plain_labels(collapse) == names[:3]
    assert regularized_pairs(collapse) == [("dcnv2", WITH)]
    assert {row.family for row in collapse.looks} == {*names}
    assert {row.family for row in collapse.study.spectra} == {*names}


def test_a_penalty_is_taken_out_of_a_label_with_its_weight_alone():
    assert unpenalized("dcnv2 learning_rate=0.1 + orthogonality 1") == "dcnv2 learning_rate=0.1"


def test_the_weight_is_named_where_there_are_several(collapse):
    weighted = replace(collapse.study.trials[-1], trial_id="other", family="dcnv2")
    settings = dict(weighted.further) | {"penalty_weight": "0.01"}
    weighted = replace(weighted, further=tuple(settings.items()))
    plain = tuple(replace(trial, family=unpenalized(trial.family)) for trial in collapse.study.trials)
    names = labels((*plain, weighted))
    assert names["other"] == "dcnv2 + orthogonality 0.01"
    assert names[plain[0].trial_id] == "dcnv2"
    assert "dcnv2 + orthogonality 0.0001" in names.values()


def test_only_the_trials_must_be_there(collapse_folder, tmp_path):
    (tmp_path / "trials.parquet").write_bytes((collapse_folder / "trials.parquet").read_bytes())
    bare = load_collapse(tmp_path)
    assert (bare.looks, bare.sub_embeddings, bare.toy) == (None, None, None)
    assert block_choices(bare) == looks_at(bare, "best") == []
    (tmp_path / "training.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"training.parquet cannot be read"):
        load_collapse(tmp_path)


def test_lines_are_seed_means_by_label_arm_and_scale(collapse, raw):
    lines = {
        (line.label, line.arm): line.points
        for line in over_scales(collapse.study.finished, ["dcnv2", WITH], "test_auc")
    }
    assert set(lines) == {("dcnv2", "SE"), ("dcnv2", "ME"), (WITH, "SE")}
    assert [point.scale for point in lines[WITH, "SE"]] == [1, 2]
    for label, penalty in (("dcnv2", "none"), (WITH, "orthogonality")):
        mine = [
            r["test_auc"]
            for r in raw("trials")
            if (r["family"], r["penalty"]) == ("dcnv2", penalty) and r["arm"] == "SE" and r["scale"] == 2
        ]
        assert len(mine) == 2
        assert lines[label, "SE"][-1].mean == pytest.approx(np.mean(mine))


def test_looks_before_training_make_lines_too(collapse, raw):
    (line,) = over_scales(looks_at(collapse, "initial"), ["dnn"], "ia_ratio_mean")[:1]
    mine = [
        r["ia_ratio_mean"]
        for r in raw("training")
        if r["family"] == "dnn" and r["moment"] == "initial" and r["arm"] == "SE"
    ]
    assert [point.mean for point in line.points] == pytest.approx([np.mean(mine)] * 2)


def test_a_path_goes_over_scales(collapse):
    points = path(collapse.study.finished, "dcnv2", "SE", "ia_ratio_mean", "test_auc")
    lines = {
        name: over_scales(collapse.study.finished, ["dcnv2"], name)[0].points for name in ("ia_ratio_mean", "test_auc")
    }
    assert [(p.scale, p.x, p.y) for p in points] == [
        (x.scale, x.mean, y.mean) for x, y in zip(lines["ia_ratio_mean"], lines["test_auc"], strict=True)
    ]


def test_training_is_a_run_per_trial_in_steps_order(collapse):
    runs = along_training(collapse, "dcnv2")
    assert len(runs) == 6
    assert [looks[0].arm for looks in runs.values()] == ["SE"] * 4 + ["ME"] * 2
    for looks in runs.values():
        assert [look.moment for look in looks] == ["initial", "evaluation", "best"]


def test_choices_are_every_set_of_the_first_seed(collapse):
    choices = block_choices(collapse)
    assert choices[:4] == [
        BlockChoice("dcnv2", 2.0, 1, 0),
        BlockChoice("dcnv2", 2.0, 2, 0),
        BlockChoice("dcnv2", 2.0, 2, 1),
        BlockChoice("dcnv2", 1.0, 1, 0),
    ]
    assert "dnn" not in {choice.label for choice in choices}


def test_the_heat_map_is_sorted_by_the_fields_own_abundance(collapse):
    shuffled = replace(collapse, sub_embeddings=collapse.sub_embeddings[::-1])
    table = heat_map(shuffled, BlockChoice("dcnv2", 2.0, 2, 1))
    assert table.own == (2.0, 3.0, 4.0, 5.0, 6.0)
    expected_NN = 1.5 + np.arange(5)[:, None] + 0.1 * (np.arange(5) % 2)
    np.testing.assert_allclose(table.values, expected_NN)
    np.testing.assert_allclose(table.along_i(), expected_NN.mean(1))
    np.testing.assert_allclose(table.along_j(), expected_NN.mean(0))


def test_marginals_leave_out_pairs_that_show_nothing(collapse):
    hostile = next(choice for choice in block_choices(collapse) if choice.label.startswith("<script>"))
    table = heat_map(collapse, hostile)
    assert [row[i] for i, row in enumerate(table.values)] == [None] * 5
    values_NN = np.array(table.values, dtype=float)
    np.testing.assert_allclose(table.along_j(), [np.mean([v for v in column if v == v]) for column in values_NN.T])


def test_what_fields_show_is_one_number_per_trial(collapse, raw):
    rows = shown(collapse)
    assert len(rows) == len({r["trial_id"] for r in raw("sub_embeddings")})
    multi = next(row for row in rows if (row.family, row.arm) == ("dcnv2", "ME"))
    mine = [r["ia_ratio"] for r in raw("sub_embeddings") if r["trial_id"] == multi.trial_id]
    assert len(mine) == 2 * 25
    assert multi.ia_ratio_mean == pytest.approx(np.mean(mine))


def test_order_is_spearmans_and_undefined_without_two_values():
    own, marginal = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), [1.0, 2.0, 3.0, 5.0, 4.0, 6.0]
    found = order(own, marginal)
    assert found.correlation == pytest.approx(stats.spearmanr(own, marginal).statistic)
    assert found.sure
    assert order(own, [2.0, 1.0, 3.0, 1.5, 2.5, 1.7]).sure is False
    assert order(own, [1.0] * 6) is None
    assert order((1.0, 2.0), [1.0, 2.0]) is None


def test_toy_curves_are_means_over_seeds(collapse, raw):
    assert dims(collapse.toy) == [5, 10]
    curves = toy_curves(collapse.toy, 10)
    assert [curve.third_size for curve in curves] == [3, 100]
    assert curves[0].steps == (0, 100, 200)
    last = [
        r["information_abundance"] for r in raw("toy") if (r["embed_dim"], r["third_size"], r["step"]) == (10, 3, 200)
    ]
    assert curves[0].mean[-1] == pytest.approx(np.mean(last))


def test_a_push_has_as_many_directions_as_the_field_has(collapse):
    lines = push_lines(collapse.toy, 10, Push.PRODUCT, last=True)
    assert [(line.field, len(line.values)) for line in lines] == [
        ("field 3 of 3 ids", 3),
        ("field 3 of 100 ids", 10),
        ("field 2", 10),
    ]
    assert lines[0].values == pytest.approx(np.linspace(4, 3, 3) ** 2)
