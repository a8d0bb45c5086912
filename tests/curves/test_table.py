"""A law fitted to a CSV table: a published two-variable law recovered, against a general optimiser."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import huber as scipy_huber

from recscale.curves.fitting import fit
from recscale.curves.laws import TWO_VARIABLE_POWER_LAW
from recscale.curves.losses import Loss, LossKind, Space
from recscale.curves.search import box_of
from recscale.curves.table import describe, fit_table
from recscale.errors import ConfigError, DataError

PUBLISHED = {
    "floor": 1.8172,
    "amplitude_1": 482.01,
    "exponent_1": 0.3478,
    "amplitude_2": 2085.43,
    "exponent_2": 0.3658,
}
"""Besiroglu et al. 2024 (arXiv 2404.10102), their fit of Hoffmann et al.'s law."""
HUBER_OF_LOG = Loss(LossKind.HUBER, 1e-3, Space.LOG)


def runs(noise, outliers, seed=0):
    """245 runs of plausible sizes: parameters, tokens, losses with log-normal noise and too high outliers."""
    rng = np.random.default_rng(seed)
    params = np.exp(rng.uniform(np.log(4e7), np.log(1.6e10), 245))
    tokens = np.exp(rng.uniform(np.log(6e18), np.log(3e21), 245)) / (6 * params)
    loss = 1.8172 + 482.01 * params**-0.3478 + 2085.43 * tokens**-0.3658
    high = np.where(np.arange(245) < outliers, 1.1, 1.0)
    return params, tokens, loss * np.exp(rng.normal(0, noise, 245)) * high


@pytest.fixture
def table(tmp_path):
    """Writes a table of runs."""

    def write(columns):
        path = tmp_path / "runs.csv"
        rows = zip(*(column.tolist() for column in columns), strict=True)
        path.write_text("params,tokens,loss,run\n" + "".join(f"{n},{d},{y},a{i}\n" for i, (n, d, y) in enumerate(rows)))
        return path

    return write


def fitted_to(path, loss=HUBER_OF_LOG, **options):
    return fit_table(path, "two_variable_power_law", ("params", "tokens"), "loss", loss, **options)


@pytest.mark.parametrize("loss", [Loss(), Loss(LossKind.HUBER), HUBER_OF_LOG, Loss(space=Space.LOG)])
def test_the_published_law_is_recovered_from_exact_losses(table, loss):
    found = fitted_to(table(runs(0.0, 0)), loss)
    for name, value in PUBLISHED.items():
        assert found.parameters[name].value == pytest.approx(value, rel=1e-4)
    assert found.converged


def test_outliers_move_a_gaussian_fit_but_hardly_a_hubers(table):
    path = table(runs(0.001, 12))
    robust, gaussian = fitted_to(path), fitted_to(path, Loss(), replicates=100)
    for name, value in PUBLISHED.items():
        assert robust.parameters[name].value == pytest.approx(value, rel=0.1)
        assert robust.parameters[name].low is None
        item = gaussian.parameters[name]
        assert item.low < item.value < item.high
    errors = [abs(each.parameters["exponent_1"].value - 0.3478) for each in (robust, gaussian)]
    assert errors[0] < errors[1] / 3


def test_a_general_optimiser_finds_no_smaller_huber_loss(table):
    params, tokens, loss = runs(0.01, 8, seed=3)

    def objective(theta):
        log_a, log_b, log_e, alpha, beta = theta
        terms = np.stack([log_a - alpha * np.log(params), log_b - beta * np.log(tokens), np.full(245, log_e)])
        return scipy_huber(1e-3, np.log(loss) - np.logaddexp.reduce(terms)).sum()

    found = fitted_to(table((params, tokens, loss)))
    values = {name: item.value for name, item in found.parameters.items()}
    ours = [math.log(values[name]) for name in ("amplitude_1", "amplitude_2", "floor")]
    at_ours = objective([*ours, values["exponent_1"], values["exponent_2"]])
    assert at_ours == pytest.approx(found.objective, rel=1e-9)
    starts = (
        [6.0, 7.5, 0.5, 0.35, 0.35],
        [5.0, 5.0, 0.0, 0.5, 0.5],
        [*ours, values["exponent_1"], values["exponent_2"]],
    )
    best = min(minimize(objective, start, method="BFGS", options={"gtol": 1e-10}).fun for start in starts)
    assert found.objective <= best * (1 + 1e-6)


def test_the_search_is_as_well_conditioned_as_variable_projection_promises():
    params, tokens, loss = runs(0.005, 0)
    x = np.stack([params, tokens])
    fitted = fit(TWO_VARIABLE_POWER_LAW, x, loss)
    _, a, b, alpha, beta = fitted.parameters
    n, d = params**-alpha, tokens**-beta
    joint = np.stack([np.ones(245), n, d, -a * n * np.log(params), -b * d * np.log(tokens)], axis=1)
    assert fitted.condition_number < 100
    assert np.linalg.cond(joint) ** 2 > 1e9
    assert box_of(TWO_VARIABLE_POWER_LAW, x).lower.tolist() == [math.log(0.01)] * 2


def test_the_words_hold_every_number(table):
    found = fitted_to(table(runs(0.005, 0)))
    text = describe(found)
    assert text.startswith("two_variable_power_law: loss = floor + amplitude_1 * n^-exponent_1")
    assert "n is params" in text
    for item in found.parameters.values():
        assert f"{item.name} = {item.value:.6g}" in text
    assert "245 rows, huber loss with delta 0.001 of ln loss" in text
    assert "converged from 2500 starts" in text


@pytest.mark.parametrize(
    ("law", "x", "y", "error", "message"),
    [
        ("chinchilla", ("params",), "loss", ConfigError, "no law is called 'chinchilla'; expected one of constant"),
        ("power_law", ("params", "tokens"), "loss", ConfigError, r"has 1 variables \(n\), got 2 columns"),
        ("power_law", ("size",), "loss", DataError, "no column 'size'; its columns are params, tokens, loss, run"),
        ("power_law", ("params",), "run", DataError, "column 'run' holds 'a0' in data row 1, expected a finite number"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_one_line(table, law, x, y, error, message):
    with pytest.raises(error, match=message) as refused:
        fit_table(table(runs(0.0, 0)), law, x, y, Loss())
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("n,y\n1,2\n2,3\n4,5\n", "has 3 rows at 3 distinct positions, too few for the 3 parameters of power_law"),
        ("n,y\n1,2\n2,\n", "column 'y' holds '' in data row 2"),
        ("n,y\n1,2\n2,inf\n", "column 'y' holds 'inf' in data row 2"),
        ("n,y\n1,2\n2\n", "is no CSV table with a header"),
        ("", "is no CSV table with a header"),
        ("n,y\n" + "0,1\n" * 3 + "1,1\n2,1\n3,1\n4,1\n", "x must be finite and above 0"),
    ],
)
def test_bad_tables_are_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message) as refused:
        fit_table(path, "power_law", ("n",), "y", Loss())
    assert "\n" not in str(refused.value)
    with pytest.raises(DataError, match="there is no file"):
        fit_table(tmp_path / "absent.csv", "power_law", ("n",), "y", Loss())


def test_a_logarithm_needs_positive_values(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("n,y\n" + "".join(f"{n},{n - 3}\n" for n in range(1, 9)))
    with pytest.raises(DataError, match="y must be above 0 for a loss of its logarithm; got -2"):
        fit_table(path, "power_law", ("n",), "y", Loss(space=Space.LOG))
    with pytest.raises(ConfigError, match="Huber's delta is 0, expected above 0"):
        Loss(LossKind.HUBER, 0.0)
