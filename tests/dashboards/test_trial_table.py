"""The printed tables hold every trial and every error, escaped."""

from dashboards.trial_table import LONGEST_ERROR, error_text, provenance_html, trials_html


def test_an_error_shows_its_last_line_and_unfolds():
    shown = error_text("Traceback:\n  line 1\nValueError: too large\n\n")
    assert shown.last_line == "ValueError: too large"
    assert shown.whole.startswith("Traceback:")


def test_a_very_long_error_keeps_its_end():
    shown = error_text("x" * 10_000 + "\nthe end")
    assert len(shown.whole) < LONGEST_ERROR + 50
    assert shown.whole.endswith("the end")
    assert error_text(" \n ").last_line == "no error text"


def test_every_trial_is_a_row(results):
    drawn = trials_html(results)
    assert drawn.count("<tr") == len(results.trials) + 1
    assert all(trial.trial_id in drawn for trial in results.trials)
    assert "learning_rate" in drawn
    assert drawn.count("<details>") == 1
    assert "<script" not in drawn


def test_provenance_is_escaped(results):
    assert "<script" not in provenance_html(results)
    assert "synthetic world" in provenance_html(results)
