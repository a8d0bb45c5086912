from dataclasses import replace

import pytest

from recscale.errors import ConfigError
from recscale.models.families import get_family
from recscale.models.interactions import dnn, ipnn
from recscale.models.specs import base_dim_of, family_names


def test_every_module_of_interactions_is_a_family_of_its_own_name():
    assert family_names() == (
        *("autoint", "dcn", "dcnv2", "deepfm", "dnn", "ffm", "finalmlp", "fm", "fwfm", "gdcn"),
        *("ipnn", "nfwfm", "rankmixer", "wukong", "xdeepfm", "zenith"),
    )
    assert [get_family(name).name for name in family_names()] == list(family_names())


def test_the_budget_at_scale_1_is_the_papers_10_and_nfwfms_50_and_ffms_4():
    assert {name: base_dim_of(name) for name in family_names() if base_dim_of(name) != 10} == {"nfwfm": 50, "ffm": 4}
    assert base_dim_of("recscale.models.interactions.nfwfm") == 50


def test_a_family_of_recscales_whose_budget_grids_do_not_know_says_where_to_write_it(monkeypatch):
    monkeypatch.setattr(dnn, "FAMILY", replace(dnn.FAMILY, base_dim=20))
    with pytest.raises(ConfigError, match=r"'dnn' has base_dim 20, but grids take 10; write it into OTHER_BASE_DIMS"):
        get_family("dnn")


def test_a_dotted_name_is_imported_as_it_stands():
    assert get_family("recscale.models.interactions.ipnn") is ipnn.FAMILY


def test_unknown_family_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"'deepffm'.*autoint, dcn, dcnv2, .*, zenith"):
        get_family("deepffm")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import a_package_that_is_not_there", "cannot be imported.*a_package_that_is_not_there"),
        ("FAMILY = 3", "FAMILY = 3; expected a recscale.models.families.Family"),
    ],
)
def test_broken_module_of_the_user_is_named(tmp_path, monkeypatch, source, message):
    package = tmp_path / "broken_families"
    package.mkdir()
    (package / "mine.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "broken_families.mine", raising=False)
    monkeypatch.delitem(__import__("sys").modules, "broken_families", raising=False)
    with pytest.raises(ConfigError, match=message):
        get_family("broken_families.mine")


def test_only_families_whose_variants_differ_say_how():
    assert {name for name in family_names() if get_family(name).variants_differ} == {"ipnn", "nfwfm"}
