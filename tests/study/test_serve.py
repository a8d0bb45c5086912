"""A real server on 127.0.0.1, asked by a plain client and by a real browser while trials finish."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

import pytest
import uvicorn

from dashboards.index import index_html, load_entries
from dashboards.pages import write_page
from recscale.errors import ConfigError, DataError
from recscale.serve.app import HOST, make_app, serve
from recscale.serve.frame import frame_html
from recscale.serve.pages import Pages
from recscale.study.study import write_study

HOSTILE = '"><script>alert(1)</script>'


def _index(pages: Pages) -> str:
    pages.write_index_table()
    return index_html(pages.storage.name, load_entries(pages.storage), link="study/{name}/")


@pytest.fixture
def address(study) -> Iterator[str]:
    """Where the storage of the study is served, by uvicorn in a thread, on a port that the system chose."""
    write_study(study)
    config = uvicorn.Config(
        make_app(Pages(study.folder.parent, write_page), _index), host=HOST, port=0, log_level="error"
    )
    listener = config.bind_socket()
    listener.listen()  # what asks before the server runs waits in line
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://{HOST}:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


def _get(url: str, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_index_leads_to_the_frame_and_the_frame_to_the_report(address, study, finish):
    finish(study.store, study.spec.trials[0])
    status, index = _get(address)
    assert (status, 'href="study/quick/"' in index) == (200, True)
    status, frame = _get(f"{address}/study/quick/")
    assert (status, 'src="report"' in frame) == (200, True)
    status, report = _get(f"{address}/study/quick/report")
    assert (status, "1 finished" in report) == (200, True)


def test_the_report_follows_the_store_and_is_not_written_twice(address, study, finish):
    trials = study.spec.trials
    for count, spec in enumerate(trials[:2], start=1):
        finish(study.store, spec)
        assert f"{count} finished" in _get(f"{address}/study/quick/report")[1]
        state = json.loads(_get(f"{address}/study/quick/state")[1])
        assert (state["finished"], state["missing"]) == (count, len(trials) - count)
    written = (study.folder / "report.html").stat().st_ino
    _get(f"{address}/study/quick/report")
    assert (study.folder / "report.html").stat().st_ino == written


def test_nothing_but_studies_of_the_storage_is_served(address):
    names = ["unknown", "trials", "..", "%2e%2e", "..%2f..%2fetc", "quick%2f..%2f..%2fetc"]
    answers = {(name, part): _get(f"{address}/study/{name}/{part}")[0] for name in names for part in ("", "report")}
    assert set(answers.values()) == {404}


def test_a_page_of_somebody_else_gets_no_answer(address):
    assert _get(address, Host="rebound.example")[0] == 400


def test_a_broken_study_says_so_and_leaves_the_others(address, study):
    broken = study.folder.parent / "broken"
    broken.mkdir()
    (broken / "study.json").write_text("{")
    status, said = _get(f"{address}/study/broken/report")
    assert status == 500
    assert said.startswith("error: ")
    assert "study.json is not a valid Study" in said
    assert _get(f"{address}/study/quick/state")[0] == 200


@pytest.mark.parametrize(
    ("mlflow", "expected"),
    [
        (
            "http://tracker:5000/#/experiments/1/runs/ab",
            '<a href="http://tracker:5000/#/experiments/1/runs/ab">MLflow</a>',
        ),
        ("sqlite:////data/runs/mlflow.db", "<code>mlflow ui --backend-store-uri sqlite:////data/runs/mlflow.db</code>"),
        ("", ""),
    ],
)
def test_the_frame_links_to_mlflow_or_says_how_to_start_it(mlflow, expected):
    assert expected in frame_html("s", mlflow, "")


def test_no_string_of_a_user_is_markup_or_a_script_address():
    page = frame_html(HOSTILE, HOSTILE, "javascript:alert(1)")
    assert HOSTILE not in page
    assert "javascript:alert" not in page


def test_a_storage_that_is_not_there_and_a_taken_port_are_named(address, study, tmp_path):
    with pytest.raises(DataError, match="is no folder"):
        Pages(tmp_path / "nowhere", write_page)
    with pytest.raises(ConfigError, match="cannot be used; choose another with --port"):
        serve(Pages(study.folder.parent, write_page), _index, int(address.rpartition(":")[2]))


def test_a_browser_sees_trials_finish_and_keeps_what_was_chosen(browser, address, study, finish):
    finish(study.store, study.spec.trials[0])
    complaints: list[str] = []
    page = browser.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{address}/study/quick/")
    inner = page.frame_locator("#page")
    inner.locator("#trials tr.finished").first.wait_for()
    inner.get_by_text("log loss", exact=True).first.click()
    finish(study.store, study.spec.trials[1])
    inner.locator("#trials tr.finished").nth(1).wait_for(timeout=60_000)
    page.get_by_text("2 finished", exact=False).first.wait_for()
    inner.locator("[data-control=metric][value='1']:checked").wait_for(state="attached")
    page.close()
    assert complaints == []


def test_a_later_command_with_another_grid_is_followed(address, study):
    before = _get(f"{address}/study/quick/report")[1]
    smaller = replace(study, spec=replace(study.spec, trials=study.spec.trials[:4]), costs=study.costs[:4])
    write_study(smaller)
    after = _get(f"{address}/study/quick/report")[1]
    assert f"{len(study.spec.trials)} trials" in before
    assert "<p>4 trials" in after
