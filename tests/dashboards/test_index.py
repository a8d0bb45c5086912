import json

import pytest

from dashboards.index import StudyEntry, index_html, load_entries, write_index
from recscale.errors import DataError
from recscale.records import to_plain

HOSTILE = "<img src=x onerror=alert(1)>"


def _entry(**changes):
    plain = {"name": "alpha", "recipe": "scaling", "dataset": "world", "created": "2026-01-02 10:00 UTC"}
    counts = {"finished": 5, "failed": 1, "missing": 2, "best_family": "dnn", "best_test_auc": 0.75, "problem": ""}
    return StudyEntry(**{**plain, **counts, **changes})


def test_every_study_is_a_row_that_links_to_its_report_in_the_given_order():
    page = index_html("runs", (_entry(name="beta"), _entry()))
    assert page.index('href="beta/report.html"') < page.index('href="alpha/report.html"')
    assert "2 studies, 16 trials" in page


def test_a_server_links_to_its_own_addresses():
    assert 'href="study/a%26b/"' in index_html("runs", (_entry(name="a&b"),), link="study/{name}/")


def test_no_name_is_markup():
    page = index_html(HOSTILE, (_entry(name=HOSTILE, recipe=HOSTILE, dataset=HOSTILE), _entry(problem=HOSTILE)))
    assert "<img" not in page


def test_a_study_that_cannot_be_read_says_why():
    assert "study.json is broken" in index_html("runs", (_entry(problem="study.json is broken"),))


def test_an_empty_storage_has_a_page():
    assert "No study has been run" in index_html("runs", ())


def test_the_page_is_written_beside_the_table_it_was_read_from(tmp_path):
    (tmp_path / "studies.json").write_text(json.dumps(to_plain([_entry()])))
    assert load_entries(tmp_path) == (_entry(),)
    assert "alpha" in write_index(tmp_path).read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "studies.json"]


def test_a_broken_table_is_named(tmp_path):
    (tmp_path / "studies.json").write_text('[{"name": 3}]')
    with pytest.raises(DataError, match=r"studies\.json is not a valid"):
        load_entries(tmp_path)
